import type { IncomingMessage } from 'node:http'
import { createServer, type Server } from 'node:https'
import { TLSSocket } from 'node:tls'
import {
  isPlatformError,
  newId,
  PlatformError,
  type Clock,
  type Random,
  type Timer,
} from '@nubo/base'
import { STREAM_FRAME_BYTES_MAX } from '@nubo/contracts'
import {
  contractOfSessionPath,
  contractOfStreamPath,
  HOST_MESSAGE_BYTES_MAX,
} from '@nubo/contracts/host'
import type { Log } from '@nubo/runtime'
import { WebSocketServer } from 'ws'
import type { HostRefusal } from '../domains/audit/index.ts'
import type { CertificateAuthority } from '../domains/fleet/index.ts'
import type { HostIdentity, HostSessions } from '../host-sessions/index.ts'
import { Admission } from './admission.ts'
import { SERVER_CERTIFICATE_VALIDITY_MS } from './certificates.ts'
import { createCallAnswerer, type HostCalls } from './host-listener-calls.ts'
import { refuseUpgrade } from './stream-upgrade.ts'
import { webSocketChannel, webSocketStream } from './web-socket.ts'

/** Against peers that are slow, many or hostile. */
const CONNECTIONS_MAX = 10_000
const HANDSHAKE_TIMEOUT_MS = 5_000
const HEADERS_TIMEOUT_MS = 5_000
const REQUEST_TIMEOUT_MS = 15_000
const HEADER_BYTES_MAX = 8_192

export interface HostListenerDeps {
  readonly bind: { readonly host: string; readonly port: number }
  readonly serverName: string
  /** IP addresses and DNS names that hosts dial, besides the bound one. */
  readonly addresses?: readonly string[]
  readonly certificates: CertificateAuthority
  readonly sessions: HostSessions
  readonly calls: HostCalls
  /** Whether the bearer of a certificate of our CA is a host now. */
  readonly admits: (identity: HostIdentity) => Promise<boolean>
  /** Hears of joins, renewals, tokens, sessions and streams that were refused. */
  readonly onRefused?: (refusal: HostRefusal) => void
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
}

/**
 * The listener of the host contract: HTTPS and WebSockets over TLS with the region's own CA. A certificate is asked of
 * every peer; only `ca` and `join` are answered without one.
 */
export class HostListener {
  readonly #deps: HostListenerDeps
  #admission: Admission | undefined
  #server: Server | undefined
  #renewal: Timer | undefined

  constructor(deps: HostListenerDeps) {
    this.#deps = deps
  }

  /** Resolves with the port once it listens. Errors: PORT_TAKEN. */
  async start(): Promise<number> {
    const server = createServer({
      ...(await newSecureContext(this.#deps)),
      requestCert: true,
      // Nothing is read before a connection is admitted.
      pauseOnConnect: true,
      // Judged per path, since joining hosts have no certificate yet.
      rejectUnauthorized: false,
      handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
      headersTimeout: HEADERS_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      connectionsCheckingInterval: 1_000,
      maxHeaderSize: HEADER_BYTES_MAX,
    })
    this.#server = server
    server.maxConnections = CONNECTIONS_MAX
    // Whoever asks again and again would keep its place for ever.
    server.maxRequestsPerSocket = 1
    server.on('tlsClientError', (error, socket) => {
      const peer = socket.remoteAddress
      this.#deps.log.debug('a TLS handshake failed', { reason: error.message, peer })
      socket.destroy()
    })
    const admission = admitInTurn(server, this.#deps.clock)
    this.#admission = admission
    serve(this.#deps, server, admission)
    await listen(server, this.#deps)
    this.#renewLater()
    const address = server.address()
    if (typeof address !== 'object' || address === null) throw new Error('no address after listen')
    return address.port
  }

  /** Cuts every connection. Stop the sessions before, so that hosts hear why. */
  async stop(): Promise<void> {
    this.#renewal?.cancel()
    const server = this.#server
    if (server === undefined) return
    const closed = new Promise<void>((resolve) => server.close(() => resolve()))
    this.#admission?.destroyAll()
    await closed
  }

  #renewLater(): void {
    this.#renewal = this.#deps.clock.after(SERVER_CERTIFICATE_VALIDITY_MS / 2, () => {
      newSecureContext(this.#deps)
        .then((context) => this.#server?.setSecureContext(context))
        .catch((error: unknown) =>
          this.#deps.log.error('the server certificate was not renewed', { error }),
        )
        .finally(() => this.#renewLater())
    })
  }
}

/** The key is made anew at each start and never leaves the process. */
async function newSecureContext(deps: HostListenerDeps) {
  const { certificates, serverName, addresses, bind } = deps
  const issued = await certificates.issueServer({
    commonName: `Nubo server ${serverName}`,
    addresses: [...new Set([bind.host, ...(addresses ?? [])])],
    validityMs: SERVER_CERTIFICATE_VALIDITY_MS,
  })
  return {
    key: issued.keyPem,
    cert: issued.certificatePem,
    ca: certificates.caPem,
    minVersion: 'TLSv1.2',
  } as const
}

/** TLS begins when a connection is admitted, and not when it comes. */
function admitInTurn(server: Server, clock: Clock): Admission {
  const begin = server.listeners('connection')
  server.removeAllListeners('connection')
  const admission = new Admission(clock, (socket) => {
    for (const listener of begin) listener.call(server, socket)
  })
  server.on('connection', (socket) => admission.add(socket))
  return admission
}

function serve(deps: HostListenerDeps, server: Server, admission: Admission): void {
  const answer = createCallAnswerer({ ...deps, caPem: deps.certificates.caPem })
  server.on('request', (request, response) => {
    void answer(request, response, {
      authenticate: () => authenticate(deps, request),
      hostId: shownBy(request)?.hostId,
    })
  })
  const sessionSockets = webSocketServer(HOST_MESSAGE_BYTES_MAX)
  const streamSockets = webSocketServer(STREAM_FRAME_BYTES_MAX)
  server.on('upgrade', (request, socket, head) => {
    socket.on('error', () => socket.destroy())
    authenticate(deps, request).then(
      (identity) => {
        const { clock } = deps
        const log = deps.log.child({ hostId: identity.hostId })
        const contract = contractOfSessionPath(request.url)
        if (contract !== undefined) {
          sessionSockets.handleUpgrade(request, socket, head, (webSocket) => {
            admission.countServing(socket)
            deps.sessions.accept(webSocketChannel(webSocket, { clock, log }), identity, contract)
          })
          return
        }
        const stream = contractOfStreamPath(request.url)
        const attach =
          stream === undefined
            ? undefined
            : deps.sessions.streams.claimForHost(stream.token, identity.hostId, stream.contract)
        if (attach === undefined) {
          const error = new PlatformError('NOT_FOUND', { kind: 'stream' })
          if (stream !== undefined) tellRefused(deps, request, { call: 'hostStream', error })
          return refuseUpgrade(socket, '404 Not Found')
        }
        streamSockets.handleUpgrade(request, socket, head, (webSocket) => {
          admission.countServing(socket)
          attach(webSocketStream(webSocket, { clock, log }))
        })
      },
      (error: unknown) => {
        deps.log.warn('a host connection was refused', {
          peer: request.socket.remoteAddress,
          error,
        })
        const isStream = contractOfStreamPath(request.url) !== undefined
        if (isPlatformError(error))
          tellRefused(deps, request, { call: isStream ? 'hostStream' : 'hostSession', error })
        refuseUpgrade(socket, '401 Unauthorized')
      },
    )
  })
}

function tellRefused(
  deps: HostListenerDeps,
  request: IncomingMessage,
  refused: { call: HostRefusal['call']; error: PlatformError },
): void {
  const requestId = newId<'request'>(deps.clock, deps.random)
  const hostId = shownBy(request)?.hostId
  deps.onRefused?.({ ...refused, hostId, hostName: undefined, requestId })
}

function webSocketServer(maxPayload: number): WebSocketServer {
  return new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload,
  })
}

/** Who the peer's certificate says it is, if our CA issued it, its dates are good, and the host is one of ours now. */
async function authenticate(
  deps: HostListenerDeps,
  request: IncomingMessage,
): Promise<HostIdentity> {
  const { socket } = request
  const identity = shownBy(request)
  // TLS looks at the dates when a session begins, but not when it is resumed, and that can be done again and again.
  const hasExpired = identity !== undefined && deps.clock.nowMs() > identity.expiresAtMs
  if (identity === undefined || hasExpired) {
    const reason = hasExpired
      ? 'CERT_HAS_EXPIRED'
      : socket instanceof TLSSocket
        ? String(socket.authorizationError)
        : 'no TLS'
    throw new PlatformError(
      'UNAUTHENTICATED',
      { reason, next: 'join the region' },
      {
        message: 'The certificate of the host is missing, expired or not ours.',
      },
    )
  }
  if (await deps.admits(identity)) return identity
  throw new PlatformError(
    'UNAUTHENTICATED',
    { ...identity, next: 'join the region anew' },
    {
      message: 'The certificate of the host was revoked.',
    },
  )
}

/** Whose certificate of our CA the peer showed when it came. */
function shownBy({ socket }: IncomingMessage): Required<HostIdentity> | undefined {
  return socket instanceof TLSSocket && socket.authorized ? identityOf(socket) : undefined
}

/** Our CA puts exactly one name into a host's certificate. */
function identityOf(socket: TLSSocket): Required<HostIdentity> | undefined {
  const certificate = socket.getPeerX509Certificate()
  const hostId = /^URI:nubo:host:([0-9a-f-]{36})$/.exec(certificate?.subjectAltName ?? '')?.[1]
  if (certificate === undefined || hostId === undefined) return undefined
  return {
    hostId,
    serial: certificate.serialNumber.toLowerCase(),
    expiresAtMs: certificate.validToDate.getTime(),
  }
}

async function listen(server: Server, { bind, log }: HostListenerDeps): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => {
      const isTaken = 'code' in cause && cause.code === 'EADDRINUSE'
      reject(
        new PlatformError(
          isTaken ? 'PORT_TAKEN' : 'SETUP_FAILED',
          { ...bind },
          {
            message: `The host contract cannot listen on ${bind.host}:${bind.port}.`,
            cause,
          },
        ),
      )
    })
    server.listen(bind.port, bind.host, () => resolve())
  })
  server.on('error', (error) => log.warn('the host contract listener had an error', { error }))
}
