/** Runs the CLI as its users do: as a process, with pipes. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const RUN_TIMEOUT_MS = 30_000
const mainFile = join(import.meta.dirname, '..', 'main.ts')

export interface Finished {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>
  readonly input?: string | Uint8Array
  /** Sends the signal once this was printed. */
  readonly killAt?: readonly [pattern: string, signal: NodeJS.Signals]
}

/** An empty home, so that no login of the machine is used. The caller removes it. */
export function makeHome(): string {
  return mkdtempSync(join(tmpdir(), 'nubo-cli-'))
}

export async function runCli(
  home: string,
  args: readonly string[],
  { env = {}, input = '', killAt }: RunOptions = {},
): Promise<Finished> {
  const child = spawn(process.execPath, [mainFile, ...args], {
    // As the launcher does, the compiled code is kept; it halves the time of these tests.
    env: { HOME: home, NUBO_HOME: home, NODE_COMPILE_CACHE: join(home, 'compiled'), ...env },
    timeout: RUN_TIMEOUT_MS,
  })
  const printed = { stdout: '', stderr: '' }
  let isKilled = false
  for (const channel of ['stdout', 'stderr'] as const) {
    child[channel].setEncoding('utf8').on('data', (text: string) => {
      printed[channel] += text
      if (isKilled || killAt === undefined || !printed[channel].includes(killAt[0])) return
      isKilled = true
      child.kill(killAt[1])
    })
  }
  // A program that does not read its input closes it early.
  child.stdin.on('error', () => undefined)
  child.stdin.end(input)
  const [code] = (await once(child, 'close')) as [number | null] // proof: the event's documented arguments
  return { code, ...printed }
}
