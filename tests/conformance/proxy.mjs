// A reverse proxy, or another server, as a process of its own, for the runs in Node.

import { spawn } from 'node:child_process'
import net from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

const START_TIMEOUT = 30_000
const STOP_TIMEOUT = 5_000

export class Failure extends Error {}

export const listen = (server, port) => new Promise((resolve, reject) => {
  server.once('error', reject)
  server.listen(port, '127.0.0.1', resolve)
})

async function freePort () {
  const server = net.createServer()
  await listen(server, 0)
  const { port } = server.address()
  await new Promise(resolve => server.close(resolve))
  return port
}

const accepts = port => new Promise(resolve => {
  const socket = net.connect(port, '127.0.0.1')
  socket.once('connect', () => socket.destroy(resolve(true)))
  socket.once('error', () => resolve(false))
})

export const startProxy = (command, originPort, verbose) =>
  startServer('the proxy', `${command} --origin http://127.0.0.1:${originPort}`, verbose)

export async function startServer (name, command, verbose) {
  const port = await freePort()
  // exec, so that signals reach the server and not only its shell
  const line = `exec ${command} --listen 127.0.0.1:${port}`
  const child = spawn('/bin/sh', ['-c', line], { stdio: ['ignore', 'pipe', 'pipe'] })
  process.once('exit', () => child.kill('SIGKILL'))
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', chunk => {
      if (verbose) process.stderr.write(chunk)
      else output = (output + chunk).slice(-10_000)
    })
  }
  let stopping = false
  const exited = new Promise(resolve => child.once('close', (code, signal) => resolve(signal ?? code)))
  const died = exited.then(how => {
    if (!stopping) throw new Failure(`${name} ended by itself (${how}): ${line}\n${output}`)
    return how
  })
  died.catch(() => {}) // it may happen while nobody races against it

  const deadline = Date.now() + START_TIMEOUT
  while (!await Promise.race([accepts(port), died])) {
    if (Date.now() > deadline) throw new Failure(`${name} doesn't accept connections: ${line}\n${output}`)
    await sleep(50)
  }
  return {
    url: `http://127.0.0.1:${port}`,
    died,
    async stop () {
      stopping = true
      child.kill('SIGTERM')
      const how = await Promise.race([exited, sleep(STOP_TIMEOUT, 'timeout', { ref: false })])
      if (how === 'timeout') console.error(`note: ${name} did not stop on SIGTERM`)
      child.kill('SIGKILL')
    }
  }
}
