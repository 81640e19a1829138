import { Fields, readList, readTime } from './fields.ts'
import { encodeFilters, type Filters } from './filters.ts'
import { readLogs, type LogEntry, type LogRequest } from './logs.ts'
import type { CallOptions, Transport } from './transport.ts'

/** Limits in the engine's own words; `CpuPeriod` and `CpuQuota` in µs, sizes in bytes, -1 or 0: none. */
export interface ResourceLimits {
  readonly CpuPeriod?: number
  readonly CpuQuota?: number
  readonly CpuShares?: number
  readonly CpusetCpus?: string
  /** Send `Memory` and `MemorySwap` together: the engine refuses one above the other. */
  readonly Memory?: number
  readonly MemorySwap?: number
  readonly PidsLimit?: number
}

export interface HostConfig extends ResourceLimits {
  readonly NetworkMode?: string
  readonly IpcMode?: string
  readonly PidMode?: string
  readonly CgroupParent?: string
  readonly ShmSize?: number
  readonly CapAdd?: readonly string[]
  readonly CapDrop?: readonly string[]
  readonly SecurityOpt?: readonly string[]
  readonly ReadonlyRootfs?: boolean
  readonly Privileged?: boolean
  readonly RestartPolicy?: { readonly Name: 'no' }
  readonly LogConfig?: { readonly Type: string; readonly Config: Readonly<Record<string, string>> }
  readonly Dns?: readonly string[]
  readonly DnsSearch?: readonly string[]
  readonly ExtraHosts?: readonly string[]
  readonly Sysctls?: Readonly<Record<string, string>>
  readonly Binds?: readonly string[]
  readonly Ulimits?: readonly {
    readonly Name: string
    readonly Soft: number
    readonly Hard: number
  }[]
}

/** Body of `POST /containers/create`, in the engine's own words. */
export interface ContainerRequest {
  readonly Image: string
  readonly Cmd?: readonly string[]
  readonly Entrypoint?: readonly string[]
  readonly Env?: readonly string[]
  readonly WorkingDir?: string
  readonly User?: string
  readonly Hostname?: string
  readonly Labels?: Readonly<Record<string, string>>
  readonly StopSignal?: string
  /** Absent: the image's own. `['NONE']`: none. */
  readonly Healthcheck?: { readonly Test: readonly string[] }
  readonly Tty?: boolean
  readonly OpenStdin?: boolean
  readonly HostConfig?: HostConfig
}

export type ContainerStatus =
  | 'created'
  | 'running'
  | 'paused'
  | 'restarting'
  | 'removing'
  | 'exited'
  | 'dead'

export interface ContainerSummary {
  readonly id: string
  /** Without the leading slash. */
  readonly names: readonly string[]
  readonly imageId: string
  readonly labels: Readonly<Record<string, string>>
  readonly status: ContainerStatus
}

export interface Container {
  readonly id: string
  /** Without the leading slash. */
  readonly name: string
  readonly imageId: string
  readonly labels: Readonly<Record<string, string>>
  readonly hasTty: boolean
  /** `none`, `host`, `container:ID` … */
  readonly networkMode: string
  readonly status: ContainerStatus
  /** Host pid of the main process, or null while it does not run. */
  readonly pid: number | null
  readonly exitCode: number
  /** The kernel killed the main process, or (cgroup v1) met the memory limit of a parent while it ran. */
  readonly isOomKilled: boolean
  /** Why the last start failed; empty otherwise. */
  readonly error: string
  /** Milliseconds since 1970, or null if it never started or finished. */
  readonly startedAtMs: number | null
  readonly finishedAtMs: number | null
}

/** Creating may have to wait for the disk, starting for a busy machine. */
const SLOW_TIMEOUT_MS = 60_000

/** What the engine may need beyond the grace that it gives the process. */
const STOP_MARGIN_MS = 15_000

export class Containers {
  readonly #transport: Transport

  constructor(transport: Transport) {
    this.#transport = transport
  }

  /** `POST /containers/create`. All or nothing; `conflict` if the name is taken, `not_found` if the image is absent. */
  async create(
    request: ContainerRequest,
    name?: string,
    options: CallOptions = {},
  ): Promise<{ readonly id: string; readonly warnings: readonly string[] }> {
    const answer = await this.#transport.json(
      { method: 'POST', path: '/containers/create', query: { name }, json: request },
      { timeoutMs: SLOW_TIMEOUT_MS, ...options },
    )
    const fields = new Fields(answer, 'container')
    // Every answer of a host without IPv4 forwarding carries this one; it says nothing about the container.
    const warnings = fields
      .strings('Warnings')
      .filter((text) => !text.startsWith('IPv4 forwarding'))
    return { id: fields.string('Id'), warnings }
  }

  /** `POST /containers/{id}/start`. Idempotent: a running container stays as it is. `bad_request` if the command cannot be run. */
  async start(id: string, options: CallOptions = {}): Promise<void> {
    await this.#post(id, 'start', {}, { timeoutMs: SLOW_TIMEOUT_MS, ...options })
  }

  /** `POST /containers/{id}/stop`: stop signal, then SIGKILL after `graceSeconds` (whole). Idempotent. */
  async stop(id: string, graceSeconds: number, options: CallOptions = {}): Promise<void> {
    const timeoutMs = graceSeconds * 1000 + STOP_MARGIN_MS
    await this.#transport.text(
      { method: 'POST', path: pathOf(id, 'stop'), query: { t: graceSeconds }, isSlow: true },
      { timeoutMs, ...options },
    )
  }

  /** `POST /containers/{id}/kill`. `conflict` if it does not run. */
  async kill(id: string, signal: string, options?: CallOptions): Promise<void> {
    await this.#post(id, 'kill', { signal }, options)
  }

  /** `POST /containers/{id}/wait`: resolves with the exit code; at once if it does not run. Idempotent. */
  async wait(
    id: string,
    options: CallOptions & { readonly until?: 'not-running' | 'next-exit' | 'removed' },
  ): Promise<{ readonly exitCode: number }> {
    const { until, ...callOptions } = options
    const answer = await this.#transport.json(
      { method: 'POST', path: pathOf(id, 'wait'), query: { condition: until }, isSlow: true },
      callOptions,
    )
    return { exitCode: new Fields(answer, 'wait').number('StatusCode') }
  }

  /** `DELETE /containers/{id}` with its anonymous volumes. `not_found` if absent; `conflict` if it runs and is not forced, or is being removed already. */
  async remove(
    id: string,
    force: { isForced?: boolean } = {},
    options: CallOptions = {},
  ): Promise<void> {
    await this.#transport.text(
      {
        method: 'DELETE',
        path: `/containers/${encodeURIComponent(id)}`,
        query: { force: force.isForced === true, v: true },
        isSlow: true,
      },
      { timeoutMs: SLOW_TIMEOUT_MS, ...options },
    )
  }

  /** `GET /containers/{id}/json`; id or name. Idempotent. */
  async inspect(id: string, options?: CallOptions): Promise<Container> {
    const answer = await this.#transport.json({ method: 'GET', path: pathOf(id, 'json') }, options)
    return readContainer(new Fields(answer, 'container'))
  }

  /** `GET /containers/json`, stopped ones included. Idempotent. */
  async list(filters: Filters = {}, options?: CallOptions): Promise<ContainerSummary[]> {
    const answer = await this.#transport.json(
      {
        method: 'GET',
        path: '/containers/json',
        query: { all: true, filters: encodeFilters(filters) },
      },
      options,
    )
    return readList(answer, 'containers', (fields) => ({
      id: fields.string('Id'),
      names: fields.strings('Names').map(withoutSlash),
      imageId: fields.string('ImageID'),
      labels: fields.stringMap('Labels'),
      status: readStatus(fields.string('State')),
    }))
  }

  /** `POST /containers/{id}/update`: live, kept over restarts. Idempotent. Block I/O limits are ignored by the engine here. */
  async update(id: string, limits: ResourceLimits, options?: CallOptions): Promise<void> {
    await this.#transport.text(
      { method: 'POST', path: pathOf(id, 'update'), json: limits },
      options,
    )
  }

  /** `POST /containers/{id}/rename`. `conflict` if the name is taken. */
  async rename(id: string, name: string, options?: CallOptions): Promise<void> {
    await this.#post(id, 'rename', { name }, options)
  }

  /** `POST /containers/{id}/resize`: size of the TTY in characters. `conflict` if it does not run. */
  async resize(
    id: string,
    size: { columns: number; rows: number },
    options?: CallOptions,
  ): Promise<void> {
    await this.#post(id, 'resize', { w: size.columns, h: size.rows }, options)
  }

  /** `GET /containers/{id}/logs`; see `LogRequest`. The connection is made when the iteration begins. */
  logs(id: string, request: LogRequest = {}): AsyncGenerator<LogEntry, void, undefined> {
    return readLogs(this.#transport, pathOf(id, 'logs'), request)
  }

  async #post(
    id: string,
    action: string,
    query: Readonly<Record<string, string | number>>,
    options: CallOptions | undefined,
  ): Promise<void> {
    await this.#transport.text({ method: 'POST', path: pathOf(id, action), query }, options)
  }
}

function pathOf(id: string, action: string): string {
  return `/containers/${encodeURIComponent(id)}/${action}`
}

function withoutSlash(name: string): string {
  return name.startsWith('/') ? name.slice(1) : name
}

function readStatus(text: string): ContainerStatus {
  switch (text) {
    case 'created':
    case 'running':
    case 'paused':
    case 'restarting':
    case 'removing':
    case 'exited':
    case 'dead':
      return text
    default:
      // A state of a later engine: it holds resources but does not run our process as far as we know.
      return 'dead'
  }
}

function readContainer(fields: Fields): Container {
  const state = fields.object('State')
  const config = fields.object('Config')
  const pid = state.number('Pid')
  return {
    id: fields.string('Id'),
    name: withoutSlash(fields.string('Name')),
    imageId: fields.string('Image'),
    labels: config.stringMap('Labels'),
    hasTty: config.boolean('Tty'),
    networkMode: fields.object('HostConfig').string('NetworkMode'),
    status: readStatus(state.string('Status')),
    pid: pid === 0 ? null : pid,
    exitCode: state.number('ExitCode'),
    isOomKilled: state.boolean('OOMKilled'),
    error: state.string('Error'),
    startedAtMs: readTime(state.string('StartedAt'), 'container.State.StartedAt'),
    finishedAtMs: readTime(state.string('FinishedAt'), 'container.State.FinishedAt'),
  }
}
