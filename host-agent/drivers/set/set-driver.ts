import type { Writable } from 'node:stream'

/** One version of an image, by the digest of its manifest. */
export interface ImageReference {
  /** With or without the registry's address; without one, the registry that gives the token is meant. */
  readonly repository: string
  /** `sha256:` and 64 hexadecimal digits. */
  readonly digest: string
}

export interface SetContainerSpec {
  /** Unique in the set: 1 to 63 of a-z, 0-9 and `-`. */
  readonly name: string
  readonly index: number
  readonly image: ImageReference
  /** Absent: the image's own. */
  readonly command?: readonly string[]
  readonly entrypoint?: readonly string[]
  readonly workingDir?: string
  readonly env: Readonly<Record<string, string>>
  /** Null: whatever the set as a whole has. At most what the set has. */
  readonly cpuMillis: number | null
  readonly memoryBytes: number | null
  readonly stopTimeoutMs: number
  /** Of the log that is kept; the oldest half goes when it is full. */
  readonly logBytesMax: number
}

export interface SetInterfaceSpec {
  /** Inside the set: `eth0`, `eth1` … */
  readonly name: string
  /** The other end, in the host's namespace; belongs to this set alone. 1 to 15 characters. */
  readonly hostInterface: string
  readonly mac: string
  /** `10.0.0.5/24` */
  readonly addressWithPrefix: string
  /** Default route of the first interface; the others have none. */
  readonly gateway: string
  readonly mtu: number
}

/** What a host needs to run one set at one epoch. */
export interface SetSpec {
  readonly setId: string
  /** Counts placements. A driver refuses a lower one than it finds on the host. */
  readonly epoch: number
  /** Of everything below (`setSpecHash`); `FoundSet.specHash` gives it back. */
  readonly specHash: string
  readonly name: string
  readonly hostname: string
  /** Limits of the whole set, whatever its containers ask for. */
  readonly cpuMillis: number
  readonly memoryBytes: number
  readonly pidsMax: number
  readonly shmBytes: number
  readonly containers: readonly SetContainerSpec[]
  readonly interfaces: readonly SetInterfaceSpec[]
  /** Name servers. Absent or empty: none, and nothing of the host's. */
  readonly dns?: readonly string[]
}

export interface FoundContainer {
  readonly name: string
  readonly containerId: string
  /** `exited` also stands for a start that failed; then `error` says why. */
  readonly state: 'created' | 'running' | 'exited'
  readonly exitCode: number | null
  /** The kernel ended a process of it at a memory limit: the main one if it has exited, any other if it runs. */
  readonly oomKilled: boolean
  /** Milliseconds since 1970; null if it never started. */
  readonly startedAtMs: number | null
  /** Of the last run that ended; null while it runs or if it never ran. */
  readonly finishedAtMs: number | null
  readonly error: string | null
}

export interface FoundSet {
  readonly setId: string
  readonly epoch: number
  readonly specHash: string
  /**
   * The container that holds network and IPC. `running`: complete, containers may start. `incomplete`: a start was
   * cut short, `startSandbox` finishes it. `exited`: what runs has lost its network; remove the set and start anew.
   * `absent`: containers without a sandbox, left by a removal that was cut short; remove the set.
   */
  readonly pause: 'running' | 'incomplete' | 'exited' | 'absent'
  readonly pausePid: number | null
  readonly containers: readonly FoundContainer[]
}

export interface OutputChunk {
  readonly stream: 'stdout' | 'stderr'
  readonly bytes: Uint8Array
}

/** One line with its end, or a piece of a very long one. */
export interface LogEntry extends OutputChunk {
  /**
   * Nanoseconds since 1970 at which it was read from the container. Pieces of one long line share theirs; entries of
   * stdout and stderr may be a little out of order.
   */
  readonly atNs: bigint
}

export interface LogRequest {
  /** Wait for more until the container ends or the signal fires. */
  readonly follow?: boolean
  readonly sinceMs?: number
  /** Only the last so many entries. */
  readonly tail?: number
  readonly signal?: AbortSignal
}

export interface ExecRequest {
  readonly command: readonly string[]
  readonly tty?: boolean
  /** Without it the program reads an empty input. */
  readonly stdin?: boolean
  readonly columns?: number
  readonly rows?: number
  readonly env?: Readonly<Record<string, string>>
  readonly workingDir?: string
}

/** A program that runs beside the container's own. */
export interface ExecStream {
  /** Null unless asked for. `end()` closes the program's input and leaves the output open. */
  readonly stdin: Writable | null
  /** In the order in which it was written; with a TTY all of it is stdout. To be iterated once, at the reader's pace. */
  readonly output: AsyncIterable<OutputChunk>
  /** Resolves after the output has been read to its end. Rejects if the stream was closed or broke before. */
  readonly exitCode: Promise<number>
  /** Size of the TTY. */
  resize(size: { readonly columns: number; readonly rows: number }): Promise<void>
  /** Sends a signal (`SIGINT`, `SIGTERM` …) to the program. Resolves also if it has ended. */
  signal(name: string): Promise<void>
  /** Ends the program if it runs, and the stream. Idempotent; returns at once. */
  close(): void
}

export interface ProbeResult {
  readonly ok: boolean
  /** Null if it did not end in time. */
  readonly exitCode: number | null
  /** The first few kilobytes of what it wrote, for a person. */
  readonly output: string
}

/** `container` null: the sandbox itself. Events are hints: look at the set to know. */
export type SetEvent =
  | { readonly type: 'started'; readonly setId: string; readonly container: string | null }
  | {
      readonly type: 'died'
      readonly setId: string
      readonly container: string | null
      readonly exitCode: number
    }
  /** The kernel ended a process of a container that may run on. */
  | { readonly type: 'oom'; readonly setId: string; readonly container: string }
  /** The engine is back, or is heard for the first time: events may have been missed, for any set. */
  | { readonly type: 'resync'; readonly setId: null }
  /** The engine is not heard any more; a `resync` follows when it is back. */
  | { readonly type: 'lost'; readonly setId: null; readonly reason: string }

export interface Subscription {
  /** Idempotent. */
  close(): void
}

export interface RegistryToken {
  /** Address of the registry, `host:port`. */
  readonly registry: string
  readonly token: string
}

/**
 * Runs sets on one host. It does what it is told when it is told: order, back-off and health rules are its caller's.
 *
 * Calls for different sets may run concurrently. `startSandbox` and `removeSet` of one set wait for each other;
 * everything else may overlap.
 *
 * Errors are PlatformErrors: ENGINE_UNAVAILABLE (nothing wrong with the request: retry), INVALID_INPUT (the
 * specification itself), NOT_ALLOWED_NOW (epoch, sandbox or container in the wrong state), NOT_FOUND,
 * IMAGE_PULL_FAILED, CONTAINER_START_FAILED, HOST_DISK_FULL, TOO_MANY_REQUESTS, SETUP_FAILED (`prepare` only).
 */
export interface SetDriver {
  /**
   * Checks the engine, loads what sandboxes are made of, and finishes or clears what a killed agent left half-done.
   * To be called first. Idempotent; safe while sets run.
   */
  prepare(): Promise<void>

  /** Name and version of the engine; null until it has answered. */
  version(): { readonly name: string; readonly version: string } | null

  /** Everything of Nubo on the host, also what another life of the agent started. Idempotent. */
  list(): Promise<FoundSet[]>

  /** One set, or null if nothing of it is on the host. Idempotent. */
  find(setId: string): Promise<FoundSet | null>

  /**
   * Fetches the image unless the host has it. Idempotent; concurrent calls for one digest share one transfer.
   * `auth` is asked only for a transfer; `onProgress` gets a few words for a person.
   * All or nothing: an image whose transfer failed is not there.
   */
  ensureImage(
    image: ImageReference,
    auth: () => Promise<RegistryToken>,
    onProgress?: (progress: string) => void,
  ): Promise<void>

  /**
   * Makes the set's limits, its pause container and its network, so that containers can start. Idempotent, and
   * finishes what an earlier call began. A sandbox of a lower epoch, of another specification, or one that has
   * exited is removed first, with all its containers; for a higher epoch NOT_ALLOWED_NOW.
   * Not all or nothing: what a failed call leaves is `incomplete`, and the next call or `removeSet` deals with it.
   */
  startSandbox(spec: SetSpec): Promise<{ readonly pid: number }>

  /** Starts one container in the running sandbox, for the first time or again. Idempotent: a running one stays as it is. */
  startContainer(spec: SetSpec, container: string): Promise<void>

  /** Ends it: stop signal, after `timeoutMs` (rounded up to seconds) SIGKILL. Idempotent; one that is not there has ended. */
  stopContainer(setId: string, container: string, timeoutMs: number): Promise<void>

  /** Ends and removes every trace of the set, at once and without grace. Idempotent; a failed call can be repeated. */
  removeSet(setId: string): Promise<void>

  /** Runs a program in a running container. Each call is a program of its own. */
  exec(setId: string, container: string, request: ExecRequest): Promise<ExecStream>

  /** Runs a health check to its end or for `timeoutMs`, then ends it. Rejects only if it could not be made. */
  probe(
    setId: string,
    container: string,
    command: readonly string[],
    timeoutMs: number,
  ): Promise<ProbeResult>

  /** What the container has written, oldest first. Starts when iterated; leaving the loop ends it. */
  logs(setId: string, container: string, request: LogRequest): AsyncIterable<LogEntry>

  /** Tells what happens to sets from now on, over restarts of the engine. Listeners must not throw. */
  events(listener: (event: SetEvent) => void): Subscription
}
