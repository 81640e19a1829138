import { Containers } from './containers.ts'
import {
  followEvents,
  readEvents,
  type EngineEvent,
  type EventsRequest,
  type FollowedEvent,
  type FollowRequest,
} from './events.ts'
import { Execs } from './exec.ts'
import { Images } from './images.ts'
import { engineState, ping, version, type EngineState, type EngineVersion } from './system.ts'
import { Transport, type CallOptions, type TransportLimits } from './transport.ts'

export interface DockerClientOptions {
  /** Absolute path of the engine's Unix socket. */
  readonly socketPath: string
  readonly limits?: Partial<TransportLimits>
}

/**
 * A client of one Docker Engine, API 1.41, over its Unix socket. Making one does not connect: each call does, so a
 * client outlives restarts of the engine. Calls are never repeated, except a GET that met a connection gone stale.
 */
export class DockerClient {
  readonly images: Images
  readonly containers: Containers
  readonly execs: Execs
  readonly #transport: Transport

  constructor(options: DockerClientOptions) {
    this.#transport = new Transport(options.socketPath, options.limits)
    this.images = new Images(this.#transport)
    this.containers = new Containers(this.#transport)
    this.execs = new Execs(this.#transport)
  }

  /** Resolves when the engine answers. Idempotent. */
  async ping(options?: CallOptions): Promise<void> {
    await ping(this.#transport, options)
  }

  /** Versions of engine, API and kernel. Idempotent. */
  async version(options?: CallOptions): Promise<EngineVersion> {
    return await version(this.#transport, options)
  }

  /** How the engine is set up (`GET /info`). Idempotent. */
  async state(options?: CallOptions): Promise<EngineState> {
    return await engineState(this.#transport, options)
  }

  /** One connection of events; connects when the iteration begins. */
  events(request: EventsRequest = {}): AsyncGenerator<EngineEvent, void, undefined> {
    return readEvents(this.#transport, request)
  }

  /** Events over restarts of the engine; connects when the iteration begins. */
  followEvents(request: FollowRequest): AsyncGenerator<FollowedEvent, void, undefined> {
    return followEvents(this.#transport, request)
  }

  /** Closes connections; calls under way reject. Raw streams of execs are closed by their holders. Idempotent. */
  close(): void {
    this.#transport.close()
  }
}
