// Chromium, and what else the runs here share.

import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { Failure } from '../conformance/proxy.mjs'

const here = dirname(fileURLToPath(import.meta.url))
const PACKAGES = JSON.parse(readFileSync(join(here, 'package.json'))).dependencies
export const TIMEOUT = 30_000

export function options (usage, definition) {
  const shared = {
    chromium: { type: 'string' },
    screenshot: { type: 'string' },
    help: { type: 'boolean', default: false }
  }
  try {
    const { values } = parseArgs({ options: { ...definition, ...shared } })
    if (!values.help) return values
    console.log(usage)
    process.exit(0)
  } catch (error) {
    console.error(`${error.message}\n${usage}`)
    process.exit(2)
  }
}

export function install () {
  const isThere = ([name, version]) => {
    try {
      return JSON.parse(readFileSync(join(here, 'node_modules', name, 'package.json'))).version === version
    } catch {}
  }
  if (Object.entries(PACKAGES).every(isThere)) return
  console.error(`installing ${Object.keys(PACKAGES).join(' and ')}`)
  const args = ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']
  execFileSync('npm', args, { cwd: here, stdio: ['ignore', 2, 2] })
}

function findChromium () {
  try {
    return execFileSync('/bin/sh', ['-c', 'command -v chromium'], { encoding: 'utf8' }).trim()
  } catch {
    throw new Failure('there is no chromium: apt-get install chromium, or say --chromium PATH')
  }
}

export async function launch (executablePath = findChromium()) {
  const { chromium } = await import('playwright-core')
  // Root may not have a sandbox.
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] })
  console.log(`Chromium ${browser.version()}`)
  return browser
}

export function check (holds, what) {
  if (!holds) throw new Failure(what)
}

export async function run (main) {
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1))
  try {
    await main()
    console.log('passed')
    process.exit(0)
  } catch (error) {
    console.error(error instanceof Failure ? error.message : error)
    process.exit(1)
  }
}
