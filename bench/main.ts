/** `nubo bench [NAME…]`: measures what docs/promises.md promises. Exit code 0 when all is kept, 1 when not. */
import { parseArgs } from 'node:util'
import { systemClock } from '@nubo/runtime'
import { atRest } from './at-rest.ts'
import { failOver } from './fail-over.ts'
import { endToEnd } from './end-to-end.ts'
import { flowBundle } from './flow-bundle.ts'
import { isKept, verdictLines, verdictTable, type Verdict } from './measure.ts'
import { placement } from './placement.ts'
import { portReady } from './port-ready.ts'
import { reconnect } from './reconnect.ts'
import { setCreate } from './set-create.ts'
import { memory } from './memory.ts'
import { reads } from './reads.ts'
import { Stage } from './stage.ts'
import { throughput } from './throughput.ts'
import { up } from './up.ts'

/** TO ADD A BENCH: a file with one function, a row here, and its promise in docs/promises.md. */
const benches = {
  up: { on: 'machine', measure: up },
  memory: { on: 'machine', measure: memory },
  reads: { on: 'machine', measure: reads },
  'at-rest': { on: 'stage', measure: atRest },
  'set-create': { on: 'stage', measure: setCreate },
  'port-ready': { on: 'stage', measure: portReady },
  'flow-bundle': { on: 'stage', measure: flowBundle },
  'fail-over': { on: 'machine', measure: failOver },
  throughput: { on: 'stage', measure: throughput },
  reconnect: { on: 'machine', measure: reconnect },
  'end-to-end': { on: 'machine', measure: endToEnd },
  placement: { on: 'machine', measure: placement },
} as const satisfies Record<
  string,
  | { on: 'machine'; measure: (signal: AbortSignal) => Promise<Verdict[]> }
  | { on: 'stage'; measure: (stage: Stage) => Promise<Verdict[]> }
>
type BenchName = keyof typeof benches

const benchNames = Object.keys(benches) as BenchName[] // proof: the keys of the record
const isBenchName = (word: string): word is BenchName => Object.hasOwn(benches, word)

const usage = `Usage: nubo bench [NAME…] [-o json]

Benches: ${benchNames.join(', ')}. Without any, all of them run, in a cloud of their own that is removed afterwards.
  -o json   one line per number instead of tables
`

async function main(words: readonly string[]): Promise<number> {
  if (words.includes('--help') || words.includes('-h')) {
    process.stdout.write(usage)
    return 0
  }
  const asked = readWords(words)
  if (typeof asked === 'string') {
    process.stderr.write(`nubo bench: ${asked}\n\n${usage}`)
    return 2
  }
  const interrupted = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => {
      process.stderr.write('\nEnding what the benches started.\n')
      interrupted.abort(new Interruption(signal))
    })
  const code = await runAll(asked, interrupted.signal)
  // What an interrupted bench still waits for must not keep us.
  if (interrupted.signal.aborted) process.exit(code)
  return code
}

class Interruption extends Error {}

async function runAll(
  { names, isJson }: { names: readonly BenchName[]; isJson: boolean },
  signal: AbortSignal,
): Promise<number> {
  let stage: Promise<Stage> | undefined
  let areAllKept = true
  try {
    for (const name of names) {
      process.stderr.write(`${name} …\n`)
      const bench = benches[name]
      const verdicts =
        bench.on === 'machine'
          ? await bench.measure(signal)
          : await untilAborted(measureOn((stage ??= Stage.start()), bench.measure, signal), signal)
      areAllKept &&= verdicts.every(isKept)
      const at = new Date(systemClock.nowMs()).toISOString()
      process.stdout.write(
        isJson ? verdictLines(name, at, verdicts) : `${verdictTable(verdicts)}\n`,
      )
    }
    return areAllKept ? 0 : 1
  } catch (error) {
    if (signal.aborted) return 130
    throw error
  } finally {
    // One that did not start has cleaned up after itself.
    await (await stage?.catch(() => undefined))?.close()
  }
}

async function measureOn(
  stage: Promise<Stage>,
  measure: (stage: Stage) => Promise<Verdict[]>,
  signal: AbortSignal,
): Promise<Verdict[]> {
  const ready = await stage
  signal.throwIfAborted()
  return measure(ready)
}

/** The outcome of the work, or the reason of the signal; the work is not stopped by it. */
function untilAborted<Result>(work: Promise<Result>, signal: AbortSignal): Promise<Result> {
  return new Promise((resolve, reject) => {
    work.then(resolve, reject)
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
    if (signal.aborted) reject(signal.reason)
  })
}

function readWords(words: readonly string[]): { names: BenchName[]; isJson: boolean } | string {
  try {
    const { values, positionals } = parseArgs({
      args: [...words],
      options: { output: { type: 'string', short: 'o', default: 'table' } },
      allowPositionals: true,
    })
    const unknown = positionals.find((word) => !isBenchName(word))
    if (unknown !== undefined) return `there is no bench ${unknown}`
    if (values.output !== 'json' && values.output !== 'table') return '-o takes json or table'
    const names = positionals.filter(isBenchName)
    return { names: names.length === 0 ? benchNames : names, isJson: values.output === 'json' }
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

process.exitCode = await main(process.argv.slice(2))
