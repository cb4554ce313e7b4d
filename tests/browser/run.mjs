// A page in headless Chromium, loaded through a reverse proxy, opens WebSockets through it. See README.md.

import { readFileSync } from 'node:fs'
import http from 'node:http'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Failure, listen, startProxy } from '../conformance/proxy.mjs'
import { check, install, launch, options, run, TIMEOUT } from './browser.mjs'

const here = dirname(fileURLToPath(import.meta.url))

const USAGE = `usage: node run.mjs [--proxy COMMAND] [--chromium PATH] [--screenshot FILE]

  --proxy COMMAND     starts the proxy; "--origin URL --listen HOST:PORT" is appended (default: the
                      release build of reverse_proxy)
  --chromium PATH     the browser (default: chromium, as in the PATH)
  --screenshot FILE   writes what the page looks like in the end`

// The page, and a WebSocket that sends back what comes. What is asked of it is kept in `heads`.
async function startOrigin (WebSocketServer) {
  const page = readFileSync(join(here, 'page.html'))
  const heads = []
  const server = http.createServer((request, response) => {
    heads.push(request)
    if (request.url !== '/') return response.writeHead(404).end()
    response.writeHead(200, { 'content-type': 'text/html', 'cache-control': 'max-age=60' }).end(page)
  })
  const sockets = new WebSocketServer({
    noServer: true,
    perMessageDeflate: { threshold: 1024 },
    handleProtocols: protocols => protocols.has('echo') && 'echo'
  })
  server.on('upgrade', (request, stream, head) => {
    heads.push(request)
    if (request.url !== '/echo') return stream.end('HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n')
    sockets.handleUpgrade(request, stream, head, socket => {
      socket.on('message', (message, isBinary) => {
        if (!isBinary && message.toString() === 'leave') return socket.close(4000, 'as you wish')
        socket.send(message, { binary: isBinary })
      })
    })
  })
  await listen(server, 0)
  return { server, heads }
}

async function visit (browser, url, screenshot) {
  const page = await browser.newPage()
  const remarks = []
  page.on('console', message => remarks.push(message.text()))
  const response = await page.goto(url, { timeout: TIMEOUT })
  const outcome = page.locator('#outcome[data-passed]')
  try {
    await outcome.waitFor({ timeout: TIMEOUT })
  } catch {
    // It has come no further than this.
  }
  for (const step of await page.locator('#steps li').allTextContents()) console.log(`  ${step}`)
  const text = await page.locator('#outcome').textContent()
  if (screenshot) await page.screenshot({ path: screenshot })
  if (text !== 'passed') throw new Failure(['the page says: ' + text, ...remarks].join('\n'))
  const said = response.headers()['x-cache']
  await page.close()
  return said
}

run(async () => {
  const { proxy: command, chromium, screenshot } = options(USAGE, {
    proxy: { type: 'string', default: 'target/release/examples/reverse_proxy' }
  })
  install()
  const { WebSocketServer } = await import('ws')

  const { server, heads } = await startOrigin(WebSocketServer)
  const proxy = await startProxy(command, server.address().port)
  const browser = await launch(chromium)
  const visits = async () => [await visit(browser, proxy.url), await visit(browser, proxy.url, screenshot)]
  const said = await Promise.race([visits(), proxy.died])
  await browser.close()
  await proxy.stop()

  check(said[0].startsWith('Miss') && said[1].startsWith('Hit'), `the page came by ${said}`)
  const came = heads.map(({ url }) => url).sort().join(' ')
  check(came === '/ /echo /echo /echo /echo /refused /refused', `the origin was asked for ${came}`)
  check(heads.every(({ headers }) => headers.via?.includes('frontage')), 'a request did not come through the proxy')
})
