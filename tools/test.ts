/**
 * `nubo test [SUITE…] [PATH…]`: runs the named suites, or all, in one run of node:test, and ends with its summary.
 * Exit code 0 when all passed, 1 when something failed, 2 when nothing fits what was asked for.
 */
import { availableParallelism } from 'node:os'
import { join, relative, resolve } from 'node:path'
import { run } from 'node:test'
import { sourceFiles, top } from './checkout.ts'
import { report } from './report.ts'
import { isSuiteName, selectTests, suiteNames, suiteOf } from './suites.ts'

// Longer than the slowest file; a file that hangs is ended and counted as failed.
const FILE_TIMEOUT_MS = 15 * 60_000
// Files run side by side: what waits on engines leaves the processors to what computes.
const FILES_AT_ONCE = Math.max(2, availableParallelism())

const usage = `Usage: nubo test [SUITE…] [PATH…]

Suites: ${suiteNames.join(', ')}. Without any, all of them run.
A path (a file, or a folder) narrows a run: nubo test unit runtime/
`

async function main(words: readonly string[]): Promise<number> {
  if (words.includes('--help') || words.includes('-h')) {
    process.stdout.write(usage)
    return 0
  }
  const unknown = words.find((word) => word.startsWith('-'))
  if (unknown !== undefined) {
    process.stderr.write(`nubo test: unknown option ${unknown}\n\n${usage}`)
    return 2
  }
  const suites = words.filter(isSuiteName)
  const below = words
    .filter((word) => !isSuiteName(word))
    .map((word) => relative(top, resolve(word)))
  const paths = sourceFiles()
  const files = selectTests(paths, { suites, below })
  // A mistyped path among good ones must not look like success.
  const missed = below.filter((path) => selectTests(paths, { suites, below: [path] }).length === 0)
  if (files.length === 0 || missed.length > 0) {
    const asked = missed.length > 0 ? missed : words
    process.stderr.write(`nubo test: no test fits "${asked.join(' ')}"\n\n${usage}`)
    return 2
  }
  process.chdir(top)
  const events = run({
    files: files.map((file) => join(top, file.path)),
    concurrency: FILES_AT_ONCE,
    timeout: FILE_TIMEOUT_MS,
    execArgv: ['--disable-warning=ExperimentalWarning'],
  })
  let hasFailed = false
  events.on('test:fail', () => (hasFailed = true))
  const colour = process.stdout.isTTY && process.env['NO_COLOR'] === undefined
  for await (const text of report(events, { top, suiteOf, colour })) process.stdout.write(text)
  return hasFailed ? 1 : 0
}

process.exitCode = await main(process.argv.slice(2))
