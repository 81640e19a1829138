import { UnreachableError, type FailedAttempt } from './errors.ts'

/** The addresses of one region's servers, and which of them answered last. */
export class ServerList {
  readonly #servers: readonly string[]
  #good = 0

  /** Takes http(s) origins; a path after the origin is dropped. Throws a TypeError for anything else. */
  constructor(servers: readonly string[]) {
    if (servers.length === 0) throw new TypeError('a client needs at least one server address')
    this.#servers = servers.map(parseServer)
  }

  /** The server that answered last. */
  get current(): string {
    const server = this.#servers[this.#good]
    if (server === undefined) throw new Error('the list of servers is empty')
    return server
  }

  /** Every server once, the one that answered last first. */
  inOrder(): readonly string[] {
    return [...this.#servers.slice(this.#good), ...this.#servers.slice(0, this.#good)]
  }

  remember(server: string): void {
    this.#good = Math.max(0, this.#servers.indexOf(server))
  }

  /** Further calls begin with the one after `server`. */
  avoid(server: string): void {
    if (this.current === server) this.#good = (this.#good + 1) % this.#servers.length
  }
}

/** 'http://127.0.0.1:7480/' → 'http://127.0.0.1:7480'. Throws a TypeError if it is not an http(s) address. */
export function parseServer(text: string): string {
  const url = URL.parse(text)
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw new TypeError(`not a server address: ${text} (for example http://127.0.0.1:7480)`)
  }
  return url.origin
}

const neverSentCodes = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EHOSTDOWN',
  'UND_ERR_CONNECT_TIMEOUT',
])

/**
 * Whether a failed fetch surely sent nothing, because there was never a connection. Only then may a change be
 * repeated elsewhere.
 */
export function wasNeverSent(error: unknown): boolean {
  let at: unknown = error
  for (let depth = 0; depth < 8 && at instanceof Error; depth++) {
    if (at instanceof AggregateError && at.errors.length > 0) return at.errors.every(wasNeverSent)
    const { code, syscall } = at as Error & { code?: unknown; syscall?: unknown } // proof: both are read as unknown
    if (typeof code === 'string' && neverSentCodes.has(code)) return true
    if (syscall === 'connect' || syscall === 'getaddrinfo') return true
    at = at.cause
  }
  return false
}

/** What one try on one server came to. `next` means that it is safe to go on with another server. */
export type Attempt<Result> =
  | { at: 'answered'; result: Result }
  | { at: 'next'; text: string; cause: unknown }

/**
 * Tries the servers in turn until one answers, and remembers it. What `attempt` throws ends the search.
 * Throws UnreachableError when all of them said `next`.
 */
export async function onFirstServer<Result>(
  servers: ServerList,
  attempt: (server: string) => Promise<Attempt<Result>>,
): Promise<{ server: string; result: Result }> {
  const failed: FailedAttempt[] = []
  let lastCause: unknown
  for (const server of servers.inOrder()) {
    const outcome = await attempt(server)
    if (outcome.at === 'answered') {
      servers.remember(server)
      return { server, result: outcome.result }
    }
    failed.push({ server, text: outcome.text })
    lastCause = outcome.cause
  }
  throw new UnreachableError(failed, lastCause)
}
