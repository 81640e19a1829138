import type { Readable } from 'node:stream'
import { DockerError, isDockerError, kindOfProgressError } from './errors.ts'
import { Fields, parseJson, readList } from './fields.ts'
import { encodeFilters, type Filters } from './filters.ts'
import { splitLines } from './lines.ts'
import type { CallOptions, StreamedAnswer, Transport } from './transport.ts'

export interface Image {
  /** Digest of the image's configuration (`sha256:…`). */
  readonly id: string
  readonly repoTags: readonly string[]
  /** `repository@digest` of each manifest it was pulled by. */
  readonly repoDigests: readonly string[]
  readonly sizeBytes: number
  readonly labels: Readonly<Record<string, string>>
}

/** One step of a pull or load: of the layer `id`, or of the whole where `id` is null. */
export interface ImageProgress {
  readonly id: string | null
  readonly status: string
  readonly currentBytes: number | null
  readonly totalBytes: number | null
}

/** Either a registry token (sent on as Bearer, never exchanged) or a user. */
export type RegistryAuth =
  | { readonly serverAddress: string; readonly registryToken: string }
  | { readonly serverAddress: string; readonly username: string; readonly password: string }

export interface PullRequest {
  readonly repository: string
  /** `sha256:…` or a tag. */
  readonly reference: string
  readonly auth?: RegistryAuth
  readonly onProgress?: (progress: ImageProgress) => void
  /** A pull that reports nothing for so long is given up with kind `timeout`. */
  readonly idleTimeoutMs?: number
  readonly signal?: AbortSignal
}

/** A slow registry may need that long between two reports; dockerd reports every 100 ms while bytes arrive. */
const PULL_IDLE_TIMEOUT_MS = 60_000

/** Loads and imports unpack onto the disk before they answer. */
const LOAD_TIMEOUT_MS = 300_000

export class Images {
  readonly #transport: Transport

  constructor(transport: Transport) {
    this.#transport = transport
  }

  /** `GET /images/{name}/json`; name, `repository@digest` or id. Idempotent; `not_found` if absent. */
  async inspect(name: string, options?: CallOptions): Promise<Image> {
    const answer = await this.#transport.json(
      { method: 'GET', path: `/images/${encodeName(name)}/json` },
      options,
    )
    const fields = new Fields(answer, 'image')
    return readImage(fields, fields.object('Config').stringMap('Labels'))
  }

  /** `GET /images/json`. Idempotent. */
  async list(filters: Filters = {}, options?: CallOptions): Promise<Image[]> {
    const answer = await this.#transport.json(
      { method: 'GET', path: '/images/json', query: { filters: encodeFilters(filters) } },
      options,
    )
    return readList(answer, 'images', (fields) => readImage(fields, fields.stringMap('Labels')))
  }

  /**
   * `POST /images/create?fromImage=`: pulls one image. Idempotent; concurrent pulls share layers inside the engine.
   * Rejects with `not_found`, `denied` or `server` also for errors that come after the transfer began.
   */
  async pull(request: PullRequest): Promise<void> {
    const idle = new AbortController()
    const idleTimeoutMs = request.idleTimeoutMs ?? PULL_IDLE_TIMEOUT_MS
    const timer = setTimeout(() => idle.abort(), idleTimeoutMs)
    const signal =
      request.signal === undefined ? idle.signal : AbortSignal.any([idle.signal, request.signal])
    try {
      const answer = await this.#transport.stream(
        {
          method: 'POST',
          path: '/images/create',
          query: { fromImage: request.repository, tag: request.reference },
          headers:
            request.auth === undefined ? {} : { 'x-registry-auth': encodeAuth(request.auth) },
        },
        { signal, timeoutMs: idleTimeoutMs },
      )
      await readProgress(answer, 'pull', (progress) => {
        timer.refresh()
        request.onProgress?.(progress)
      })
    } catch (error) {
      if (!idle.signal.aborted) throw explained(error)
      throw new DockerError('timeout', `pull: no progress within ${idleTimeoutMs} ms`, {
        cause: error,
      })
    } finally {
      clearTimeout(timer)
    }
  }

  /** `POST /images/load`: a docker-save tar. Idempotent. The ids and tags the engine says it loaded. */
  async load(tar: Readable, options: CallOptions = {}): Promise<string[]> {
    const loaded: string[] = []
    const answer = await this.#transport.stream(
      {
        method: 'POST',
        path: '/images/load',
        query: { quiet: true },
        body: { stream: tar, type: 'application/x-tar' },
      },
      { timeoutMs: LOAD_TIMEOUT_MS, ...options },
    )
    await readProgress(answer, 'load', (progress) => {
      const name = /^Loaded image(?: ID)?: (\S+)/.exec(progress.status)?.[1]
      if (name !== undefined) loaded.push(name)
    })
    return loaded
  }

  /** `POST /images/{name}/tag`. Idempotent; moves the tag if it exists. */
  async tag(
    name: string,
    to: { repository: string; tag: string },
    options?: CallOptions,
  ): Promise<void> {
    await this.#transport.text(
      {
        method: 'POST',
        path: `/images/${encodeName(name)}/tag`,
        query: { repo: to.repository, tag: to.tag },
      },
      options,
    )
  }

  /** `DELETE /images/{name}`. `not_found` if absent, `conflict` while a container uses it. */
  async remove(
    name: string,
    force: { isForced?: boolean } = {},
    options?: CallOptions,
  ): Promise<void> {
    await this.#transport.text(
      {
        method: 'DELETE',
        path: `/images/${encodeName(name)}`,
        query: { force: force.isForced === true },
      },
      options,
    )
  }
}

/** Names contain slashes that the engine routes on, so only the other characters are escaped. */
function encodeName(name: string): string {
  return name.split('/').map(encodeURIComponent).join('/')
}

/**
 * The header is JSON in base64 for URLs, with padding: without it dockerd 20.10 ignores the header without a word.
 * dockerd passes `registrytoken` on as a Bearer token.
 */
export function encodeAuth(auth: RegistryAuth): string {
  const body =
    'registryToken' in auth
      ? { serveraddress: auth.serverAddress, registrytoken: auth.registryToken }
      : { serveraddress: auth.serverAddress, username: auth.username, password: auth.password }
  const base64 = Buffer.from(JSON.stringify(body)).toString('base64')
  return base64.replaceAll('+', '-').replaceAll('/', '_')
}

function readImage(fields: Fields, labels: Readonly<Record<string, string>>): Image {
  return {
    id: fields.string('Id'),
    repoTags: fields.strings('RepoTags'),
    repoDigests: fields.strings('RepoDigests'),
    sizeBytes: fields.number('Size'),
    labels,
  }
}

/** The engine answers 500 also where the registry said that there is no such image, or that we may not have it. */
function explained(error: unknown): unknown {
  if (!isDockerError(error, 'server')) return error
  const kind = kindOfProgressError(error.message)
  return kind === 'server'
    ? error
    : new DockerError(kind, error.message, { status: error.status, cause: error })
}

async function readProgress(
  answer: StreamedAnswer,
  what: string,
  onProgress: (progress: ImageProgress) => void,
): Promise<void> {
  for await (const line of splitLines(answer.body)) {
    const fields = new Fields(parseJson(line, what), what)
    const error = fields.optionalString('error')
    if (error !== null) throw new DockerError(kindOfProgressError(error), `${what}: ${error}`)
    const detail = fields.object('progressDetail')
    onProgress({
      id: fields.optionalString('id'),
      // Pulls report in `status`, loads in `stream`.
      status: fields.optionalString('status') ?? fields.optionalString('stream') ?? '',
      currentBytes: detail.optionalNumber('current'),
      totalBytes: detail.optionalNumber('total'),
    })
  }
}
