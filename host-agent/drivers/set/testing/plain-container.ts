import type { SetContainerSpec } from '../set-driver.ts'

/** A container that is alone, without limits of its own. */
export function plainContainer(
  of: Pick<SetContainerSpec, 'image'> & Partial<SetContainerSpec>,
): SetContainerSpec {
  return {
    name: 'main',
    index: 0,
    env: {},
    cpuMillis: null,
    memoryBytes: null,
    stopTimeoutMs: 1_000,
    logBytesMax: 1024 * 1024,
    ...of,
  }
}
