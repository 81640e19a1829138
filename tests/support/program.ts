import { spawn } from 'node:child_process'
import { once } from 'node:events'

const main = new URL('../../cli/main.ts', import.meta.url).pathname
const RUN_TIMEOUT_MS = 120_000

/** Runs the CLI as its users do, with pipes; nothing of the machine's own login is used. */
export async function runProgram(
  home: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, [main, ...args], {
    env: { HOME: home, NUBO_HOME: home, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: RUN_TIMEOUT_MS,
  })
  const printed = { stdout: '', stderr: '' }
  for (const channel of ['stdout', 'stderr'] as const)
    child[channel].setEncoding('utf8').on('data', (text: string) => {
      printed[channel] += text
    })
  const [code] = (await once(child, 'close')) as [number | null] // proof: the event's documented arguments
  return { code, ...printed }
}
