import { Fields } from './fields.ts'
import type { CallOptions, Transport } from './transport.ts'

export interface EngineVersion {
  readonly version: string
  readonly apiVersion: string
  readonly minApiVersion: string
  readonly kernelVersion: string
}

export interface EngineState {
  readonly id: string
  readonly name: string
  readonly cgroupDriver: string
  readonly cgroupVersion: '1' | '2'
  readonly storageDriver: string
  readonly dataRoot: string
  readonly cpus: number
  readonly memoryBytes: number
  readonly isLiveRestore: boolean
  readonly containersRunning: number
}

/** `GET /_ping`: resolves when the engine answers. Idempotent. */
export async function ping(transport: Transport, options?: CallOptions): Promise<void> {
  await transport.text({ method: 'GET', path: '/_ping' }, options)
}

/** `GET /version`. Idempotent. */
export async function version(transport: Transport, options?: CallOptions): Promise<EngineVersion> {
  const answer = new Fields(
    await transport.json({ method: 'GET', path: '/version' }, options),
    'version',
  )
  return {
    version: answer.string('Version'),
    apiVersion: answer.string('ApiVersion'),
    minApiVersion: answer.string('MinAPIVersion'),
    kernelVersion: answer.string('KernelVersion'),
  }
}

/** `GET /info`. Idempotent. */
export async function engineState(
  transport: Transport,
  options?: CallOptions,
): Promise<EngineState> {
  const answer = new Fields(await transport.json({ method: 'GET', path: '/info' }, options), 'info')
  return {
    id: answer.string('ID'),
    name: answer.string('Name'),
    cgroupDriver: answer.string('CgroupDriver'),
    cgroupVersion: answer.optionalString('CgroupVersion') === '2' ? '2' : '1',
    storageDriver: answer.string('Driver'),
    dataRoot: answer.string('DockerRootDir'),
    cpus: answer.number('NCPU'),
    memoryBytes: answer.number('MemTotal'),
    isLiveRestore: answer.boolean('LiveRestoreEnabled'),
    containersRunning: answer.number('ContainersRunning'),
  }
}
