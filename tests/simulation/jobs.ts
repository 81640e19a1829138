import { fork, type ChildProcess } from 'node:child_process'

/** What is kept of one seed's run. */
export interface SeedResult {
  readonly seed: number
  readonly violation: { readonly kind: string; readonly text: string } | undefined
  readonly simulatedMs: number
  readonly events: number
}

/**
 * Runs seeds first … first + count − 1, the work shared among processes. Ends with the first that fails, once the seeds
 * before it have ended too, so that the same seed is named however many processes there are.
 */
export async function runSeeds(asked: {
  first: number
  count: number
  jobs: number
  /** The program and words of a process that takes seeds as messages and answers each with its result. */
  worker: { program: string; words: readonly string[] }
  onResult: (result: SeedResult) => void
}): Promise<SeedResult | undefined> {
  let next = asked.first
  let end = asked.first + asked.count
  let failed: SeedResult | undefined
  const work = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const child: ChildProcess = fork(asked.worker.program, [...asked.worker.words])
      let underWay: number | undefined
      const give = (): void => {
        underWay = next < end ? next++ : undefined
        if (underWay === undefined) child.disconnect()
        else child.send(underWay)
      }
      child.on('message', (message) => {
        // proof: our own program, see serveSeeds
        const result = message as SeedResult
        asked.onResult(result)
        if (result.violation !== undefined) {
          end = Math.min(end, result.seed)
          if (failed === undefined || result.seed < failed.seed) failed = result
        }
        give()
      })
      child.on('error', reject)
      child.on('exit', (code) => {
        if (underWay === undefined) resolve()
        else reject(new Error(`the process that ran seed ${underWay} ended with code ${code}`))
      })
      give()
    })
  await Promise.all(Array.from({ length: Math.min(asked.jobs, asked.count) }, work))
  return failed
}

/** The other end: runs one seed after the other until nobody asks any more. */
export function serveSeeds(run: (seed: number) => Promise<SeedResult>): void {
  process.on('message', (seed) => {
    void run(Number(seed)).then((result) => process.send?.(result))
  })
}
