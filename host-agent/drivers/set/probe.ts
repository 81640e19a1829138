import type { Clock } from '@nubo/base'
import type { ExecStream, ProbeResult } from './set-driver.ts'

/** Enough for a person to see what a health check complains of. */
const OUTPUT_BYTES_MAX = 4_096

/** Reads a health check to its end, or ends it after `timeoutMs`. Output beyond the first kilobytes is dropped. */
export async function runProbe(
  stream: ExecStream,
  clock: Clock,
  timeoutMs: number,
): Promise<ProbeResult> {
  const parts: Uint8Array[] = []
  let bytes = 0
  let isLate = false
  const timer = clock.after(timeoutMs, () => {
    isLate = true
    stream.close()
  })
  const output = (): string => Buffer.concat(parts).toString('utf8')
  try {
    for await (const chunk of stream.output) {
      const part = chunk.bytes.subarray(0, OUTPUT_BYTES_MAX - bytes)
      bytes += part.length
      if (part.length > 0) parts.push(part)
    }
    const exitCode = await stream.exitCode
    return { ok: exitCode === 0, exitCode, output: output() }
  } catch (error) {
    if (!isLate) throw error
    return { ok: false, exitCode: null, output: `${output()}no answer within ${timeoutMs} ms` }
  } finally {
    timer.cancel()
  }
}
