// The example video in headless Chromium: plays, seeks, and shows which blocks were hits. See README.md.

import { startServer } from '../conformance/proxy.mjs'
import { check, install, launch, options, run, TIMEOUT } from './browser.mjs'

const DELAY = 400 // milliseconds, of the origin

const USAGE = `usage: node video.mjs [--video COMMAND] [--chromium PATH] [--screenshot FILE]

  --video COMMAND     starts the example; "--origin-delay MS --listen HOST:PORT" is appended (default: its
                      release build)
  --chromium PATH     the browser (default: chromium, as in the PATH)
  --screenshot FILE   writes what the page looks like in the end`

// Plays, and waits until a second more was heard.
async function play (page) {
  if (await page.locator('#play[aria-label=Play]').count()) await page.click('#play')
  const from = await page.evaluate(() => document.getElementById('player').currentTime)
  await page.waitForFunction(until => document.getElementById('player').currentTime > until, from + 1)
}

// Seeks by a button; what the page says of it.
async function seek (page, button) {
  const before = await page.locator('#seeks li').count()
  await page.click(button)
  const line = page.locator('#seeks li').first()
  await page.waitForFunction(count => document.querySelectorAll('#seeks li').length > count, before)
  const { kind, block, millis } = await line.evaluate(line => ({ ...line.dataset }))
  console.log(`  ${(await line.locator('span').allTextContents()).join(', ')}; block ${block}`)
  await play(page)
  return { kind, block: Number(block), millis: Number(millis) }
}

const cell = (page, block) => page.locator(`#map [data-block="${block}"]`)
const state = (page, block) => cell(page, block).getAttribute('data-state')
// Fetched, and once only.
const isFetched = async (page, block) => (await cell(page, block).getAttribute('title')).includes(': 1 × from the origin')
const number = async (page, id) => Number(await page.locator(`#${id}`).textContent())

async function visit (page, url) {
  await page.goto(url)
  const blocks = await page.locator('#map i').count()
  check(blocks > 300, `the map has ${blocks} blocks`)
  check(await state(page, 200) === null, 'block 200 was asked for by nobody')
  await play(page)
  check(await isFetched(page, 0), 'the first block did not come from the origin')

  const cold = await seek(page, '[data-part="0.5"]')
  check(cold.kind === 'miss' && cold.millis >= DELAY, 'the first seek was not to a cold place')
  check(await isFetched(page, cold.block), `block ${cold.block} did not come from the origin`)
  // A browser that asks for the first again makes it a hit.
  const next = await state(page, cold.block + 1)
  check(next === 'miss', `the block behind it is shown as ${next}`)
  check(await state(page, 200) === null, 'what lies between was fetched, too')
  // Whether the browser itself still has a place differs.
  await seek(page, '[data-part="0.9"]')
  await seek(page, '#back')

  // Another viewer: this browser was told to keep nothing.
  await page.reload()
  await cell(page, cold.block).and(page.locator('[data-state]')).waitFor({ state: 'attached' })
  const hits = await number(page, 'hits')
  const warm = await seek(page, '[data-part="0.5"]')
  check(warm.block === cold.block && warm.kind === 'hit', 'the same place was not warm')
  check(warm.millis < DELAY, `and yet it took ${warm.millis} ms`)
  check(await state(page, warm.block) === 'hit', `block ${warm.block} is shown as ${await state(page, warm.block)}`)
  check(await isFetched(page, warm.block), 'it was fetched again')
  check(await number(page, 'hits') > hits, 'the total of hits has not grown')
  const [served, misses] = [await number(page, 'served'), await number(page, 'misses')]
  console.log(`  ${served} blocks served, ${misses} from the origin`)
}

async function clear (page) {
  await page.click('#play[aria-label=Pause]')
  await page.click('#clear')
  // What was on its way may still come.
  await page.waitForFunction(() => Number(document.getElementById('served').textContent) < 10)
  const left = await page.locator('#map [data-state]').count()
  check(left < 10, `${left} blocks are still shown`)
}

run(async () => {
  const { video: command, chromium, screenshot } = options(USAGE, {
    video: { type: 'string', default: 'target/release/examples/video' }
  })
  install()
  const server = await startServer('the example', `${command} --origin-delay ${DELAY}`)
  const browser = await launch(chromium)
  const page = await browser.newPage({ viewport: { width: 1280, height: 800 } })
  page.setDefaultTimeout(TIMEOUT)
  const remarks = []
  page.on('console', message => remarks.push(message.text()))
  page.on('pageerror', error => remarks.push(error.message))
  try {
    await Promise.race([visit(page, server.url), server.died])
  } finally {
    if (screenshot) await page.screenshot({ path: screenshot })
  }
  await clear(page)
  check(remarks.length === 0, `the page says: ${remarks.join('\n')}`)
  await browser.close()
  await server.stop()
})
