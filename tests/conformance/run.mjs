// Runs the public HTTP cache test suite (npm http-cache-tests, https://cache-tests.fyi) against a
// caching reverse proxy and compares the outcome with expected-failures.json. See README.md.

import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { Failure, listen, startProxy } from './proxy.mjs'

const here = dirname(fileURLToPath(import.meta.url))
const LISTED = join(here, 'expected-failures.json')
const VERSION = '0.4.5'
// Without the browser-only tests. A count that moves means that the suite, or our filter, changed.
const TOTALS = { required: 157, optimal: 86, check: 86 }
// The suite sets no time limit: one request left hanging by the proxy would hang the run.
const REQUEST_TIMEOUT = 15_000
const CONCURRENCY = 100 // the suite's own default

const USAGE = `usage: node run.mjs --proxy COMMAND [--json FILE] [--id ID]... [--keep-going]

  --proxy COMMAND  starts the proxy; "--listen HOST:PORT --origin URL" is appended (default: the
                   release build of reverse_proxy with --policy rfc9111)
  --json FILE      writes the raw results, in the form that cache-tests.fyi publishes
  --id ID          runs only this test (repeatable), shows its requests and responses
  --keep-going     exits with 0 even where the outcome isn't the expected one`

function options () {
  const definition = {
    proxy: { type: 'string', default: 'target/release/examples/reverse_proxy --policy rfc9111' },
    json: { type: 'string' },
    id: { type: 'string', multiple: true, default: [] },
    'keep-going': { type: 'boolean', default: false },
    help: { type: 'boolean', default: false }
  }
  try {
    const { values } = parseArgs({ options: definition })
    if (!values.help) return values
    console.log(USAGE)
    process.exit(0)
  } catch (error) {
    console.error(`${error.message}\n${USAGE}`)
    process.exit(2)
  }
}

function install () {
  const version = () => {
    try {
      return JSON.parse(readFileSync(join(here, 'node_modules/http-cache-tests/package.json'))).version
    } catch {}
  }
  if (version() !== VERSION) {
    console.error(`installing http-cache-tests ${VERSION}`)
    const args = ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']
    execFileSync('npm', args, { cwd: here, stdio: ['ignore', 2, 2] })
  }
  if (version() !== VERSION) throw new Failure(`http-cache-tests is not at ${VERSION} after npm ci`)
}

async function loadSuite () {
  const [groups, runner, config, test, state, fetch] = await Promise.all([
    import('http-cache-tests/tests/index.mjs'),
    import('http-cache-tests/client/runner.mjs'),
    import('http-cache-tests/server/handle-config.mjs'),
    import('http-cache-tests/server/handle-test.mjs'),
    import('http-cache-tests/server/handle-state.mjs'),
    // The client the suite uses outside browsers. Node's own fetch won't do: it adds
    // "Cache-Control: no-cache" to the suite's requests, and takes its caching mode into account.
    import('node-fetch')
  ])
  return {
    // index.mjs leaves out Surrogate-Control, which is for CDNs and which RFC 9111 doesn't know.
    groups: groups.default.map(({ id, name, tests }) => ({
      id,
      name,
      tests: tests.filter(test => !test.browser_only).map(test => Object.assign(test, { kind: test.kind ?? 'required' }))
    })),
    runTests: runner.runTests,
    getResults: runner.getResults,
    handlers: { config: config.default, test: test.default, state: state.default },
    fetch: (url, init) => fetch.default(url, { ...init, timeout: REQUEST_TIMEOUT })
  }
}

// The suite's server.mjs listens on every interface and writes a pid file as it is imported, so its
// handlers are put behind a server of our own.
async function startOrigin (handlers) {
  const server = http.createServer((request, response) => {
    const [kind, ...segments] = new URL(request.url, 'http://origin').pathname.slice(1).split('/')
    if (!Object.hasOwn(handlers, kind)) return response.writeHead(404).end()
    // Some tests set a Content-Length that isn't the body's, or an unknown transfer coding, whose
    // body has no other end: neither may reach into the next exchange on the connection. It is
    // announced, or a proxy might just then send a request there, repeat it, and fail its test.
    const end = response.end
    response.end = (...body) => {
      if (response.hasHeader('content-length') || response.hasHeader('transfer-encoding')) {
        response.setHeader('Connection', 'close')
        response.once('finish', () => request.socket.end())
      }
      return end.apply(response, body)
    }
    handlers[kind](segments, request, response)
  })
  // Node closes idle connections after 5 s; a proxy that just then reuses one would fail a test.
  server.keepAliveTimeout = 600_000
  await listen(server, 0)
  return server
}

async function runSuite (suite, groups, command, verbose) {
  const origin = await startOrigin(suite.handlers)
  const log = console.log
  // The suite's server remarks on every request that the proxy kept to itself.
  if (!verbose) console.log = () => {}
  try {
    const proxy = await startProxy(command, origin.address().port, verbose)
    // One by one when they are to be read. More than once isn't possible: the suite keeps its
    // results, and the tests already run, in its modules.
    const run = suite.runTests(groups, suite.fetch, false, proxy.url, verbose ? 1 : CONCURRENCY)
    await Promise.race([run, proxy.died])
    await proxy.stop()
  } finally {
    console.log = log
    origin.close()
    origin.closeAllConnections()
  }
  return suite.getResults()
}

// The verdict of each test: undefined where it passed, otherwise why it didn't.
function judge (tests, results, honourDependencies) {
  const failures = new Map()
  const failure = id => {
    if (!failures.has(id)) failures.set(id, find(id))
    return failures.get(id)
  }
  const find = id => {
    if (results[id] === undefined) return 'was not run'
    if (honourDependencies) {
      const failed = (tests.get(id).depends_on ?? []).filter(failure)
      if (failed.length > 0) return `depends on ${failed.join(', ')}, which did not pass`
    }
    if (results[id] === true) return undefined
    const [type, message] = results[id]
    return type === 'Assertion' ? message : `(${type}) ${message}`
  }
  return failure
}

function report (groups, failure) {
  const rows = groups.map(({ id, tests }) => {
    const row = { id }
    for (const kind in TOTALS) {
      const ofKind = tests.filter(test => test.kind === kind)
      row[kind] = { passed: ofKind.filter(test => !failure(test.id)).length, all: ofKind.length }
    }
    return row
  })
  for (const kind in TOTALS) {
    const sum = key => rows.reduce((total, row) => total + row[kind][key], 0)
    console.log(`${kind}: ${kind === 'check' ? 'yes' : 'passed'} ${sum('passed')} of ${sum('all')}`)
  }
  console.log(`\n${'group'.padEnd(24)}${'required'.padStart(10)}${'optimal'.padStart(10)}${'check yes'.padStart(11)}`)
  for (const row of rows) {
    const cell = ({ passed, all }, width) => (all ? `${passed}/${all}` : '-').padStart(width)
    console.log(`${row.id.padEnd(24)}${cell(row.required, 10)}${cell(row.optimal, 10)}${cell(row.check, 11)}`)
  }
}

// Where the outcome isn't what the list says.
function compare (judged, tests, failure, listed, all) {
  const unexpected = judged
    .filter(({ id }) => failure(id) && !Object.hasOwn(listed, id))
    .map(({ id }) => `newly fails: ${id}: ${failure(id)}`)
  if (!all) return unexpected // without its dependencies, a test may pass that is listed for them
  for (const id in listed) {
    if (!tests.has(id)) unexpected.push(`listed, but unknown to the suite: ${id}`)
    else if (tests.get(id).kind === 'check') unexpected.push(`listed, but a check can't fail: ${id}`)
    else if (!failure(id)) unexpected.push(`newly passes, take it off the list: ${id}`)
  }
  return unexpected
}

async function main () {
  const { proxy, json, id: ids, 'keep-going': keepGoing } = options()
  const listed = JSON.parse(readFileSync(LISTED))
  install()
  const suite = await loadSuite()
  const tests = new Map(suite.groups.flatMap(group => group.tests).map(test => [test.id, test]))
  for (const kind in TOTALS) {
    const count = [...tests.values()].filter(test => test.kind === kind).length
    if (count !== TOTALS[kind]) throw new Failure(`the suite has ${count} ${kind} tests, not ${TOTALS[kind]}`)
  }
  for (const id of ids) {
    if (!tests.has(id)) throw new Failure(`no such test: ${id}`)
    tests.get(id).dump = true
  }

  const all = ids.length === 0
  const groups = all ? suite.groups : suite.groups
    .map(group => ({ ...group, tests: group.tests.filter(test => ids.includes(test.id)) }))
    .filter(group => group.tests.length > 0)
  const results = await runSuite(suite, groups, proxy, !all)
  if (json) writeFileSync(json, JSON.stringify(results, null, 2) + '\n')

  const failure = judge(tests, results, all)
  report(groups, failure)

  const run = groups.flatMap(group => group.tests)
  const judged = run.filter(test => test.kind !== 'check')
  const failed = (all ? judged : run).filter(({ id }) => failure(id))
  if (failed.length > 0) console.log('\nnot passed:')
  for (const { id, kind } of failed) {
    console.log(`  ${id} [${kind}${Object.hasOwn(listed, id) ? ', listed' : ''}]: ${failure(id)}`)
  }

  const unexpected = compare(judged, tests, failure, listed, all)
  if (unexpected.length > 0) console.log('\nunexpected:')
  for (const line of unexpected) console.log(`  ${line}`)
  const met = judged.length - unexpected.filter(line => !line.startsWith('listed')).length
  console.log(`\n${met} passed, ${unexpected.length} failed`)
  return unexpected.length > 0 && !keepGoing ? 1 : 0
}

for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1))
try {
  process.exit(await main())
} catch (error) {
  console.error(error instanceof Failure ? error.message : error)
  process.exit(1)
}
