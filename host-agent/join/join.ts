import { createHash, createPrivateKey, type KeyObject } from 'node:crypto'
import { isPlatformError, PlatformError, type Clock } from '@nubo/base'
import { certificateReply, parseJoinToken, type JoinToken } from '@nubo/contracts/host'
import { z } from 'zod'
import { certificateRequest, newHostKey } from './certificate-request.ts'
import {
  parseCertificate,
  readIdentity,
  readPendingJoin,
  removePendingJoin,
  writeIdentity,
  writePendingJoin,
  type Identity,
} from './identity.ts'
import { callAnyServer, callServer } from './server-call.ts'

export interface JoinOptions {
  readonly token: string
  readonly stateDir: string
  readonly clock: Clock
  readonly signal?: AbortSignal
}

/**
 * Makes this host a member of the region that the token is from: fetches the region's CA without trust and holds it
 * against the fingerprint in the token, makes a key, and has it certified over a connection that this CA proves.
 *
 * Idempotent: with the token it has joined with, nothing happens; a join that broke off is repeated with the same key.
 * Throws JOIN_REFUSED for a bad token or a CA that is not the token's, HOST_UNREACHABLE if no server answers.
 */
export async function joinRegion(options: JoinOptions): Promise<Identity> {
  const tokenSha256 = sha256(options.token.trim())
  const known = readIdentity(options.stateDir)
  if (known?.tokenSha256 === tokenSha256 && known.expiresAtMs > options.clock.nowMs()) return known

  const identity = await redeemToken({
    ...options,
    token: options.token.trim(),
    key: () => pendingKey(options.stateDir, tokenSha256),
  })
  writeIdentity(options.stateDir, identity)
  removePendingJoin(options.stateDir)
  return identity
}

/**
 * The network part of a join: nothing is written to disk, so a token whose answer is lost is used up.
 * Throws as `joinRegion` does.
 */
export async function redeemToken(options: {
  readonly token: string
  /** Asked for once a server has proved that the token is from it. */
  readonly key: () => KeyObject
  readonly clock: Clock
  readonly signal?: AbortSignal
}): Promise<Identity> {
  const token = parseJoinToken(options.token)
  if (token === undefined)
    throw new PlatformError('JOIN_REFUSED', {
      field: 'token',
      next: "make one with 'nubo host invite'",
    })
  const { server, ca } = await fetchCa(token, options.signal)
  const key = options.key()
  const reply = await callServer({
    server,
    method: 'POST',
    path: '/host/v1/join',
    body: {
      secret: token.secret,
      hostName: token.hostName,
      certificateRequest: certificateRequest(key, token.hostName),
    },
    tls: { ca },
    reply: certificateReply,
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  })
  checkCertificate(reply.certificate, key, ca)
  return {
    hostId: reply.hostId,
    hostName: token.hostName,
    key: exportKey(key),
    certificate: reply.certificate,
    ca,
    issuedAtMs: options.clock.nowMs(),
    expiresAtMs: reply.expiresAtMs,
    tokenSha256: sha256(options.token),
    servers: token.servers,
  }
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

/**
 * A new key and a new certificate for a host that is a member. The old identity stays valid and in place until the
 * new one is on disk. Throws what the servers answer.
 */
export async function renewIdentity(options: {
  readonly identity: Identity
  readonly servers: readonly string[]
  readonly stateDir: string
  readonly clock: Clock
  readonly signal: AbortSignal
}): Promise<Identity> {
  const { identity } = options
  const key = newHostKey()
  const reply = await callAnyServer(options.servers, {
    method: 'POST',
    path: '/host/v1/renew',
    body: { certificateRequest: certificateRequest(key, identity.hostName) },
    tls: { ca: identity.ca, cert: identity.certificate, key: identity.key },
    reply: certificateReply,
    signal: options.signal,
  })
  if (reply.hostId !== identity.hostId)
    throw new PlatformError('PROTOCOL_VIOLATION', { field: 'hostId' })
  checkCertificate(reply.certificate, key, reply.ca)
  const renewed: Identity = {
    ...identity,
    key: exportKey(key),
    certificate: reply.certificate,
    ca: reply.ca,
    issuedAtMs: options.clock.nowMs(),
    expiresAtMs: reply.expiresAtMs,
  }
  writeIdentity(options.stateDir, renewed)
  return renewed
}

async function fetchCa(
  token: JoinToken,
  signal: AbortSignal | undefined,
): Promise<{ server: string; ca: string }> {
  let unreachable: unknown
  for (const server of token.servers) {
    let ca: string
    try {
      ca = await callServer({
        server,
        method: 'GET',
        path: '/host/v1/ca',
        // Nothing is known of the server yet; what it sends is believed only for its fingerprint.
        tls: { rejectUnauthorized: false },
        reply: z.string().max(64 * 1024),
        ...(signal === undefined ? {} : { signal }),
      })
    } catch (error) {
      if (!isPlatformError(error) || error.kind !== 'unavailable') throw error
      unreachable = error
      continue
    }
    const fingerprint = createHash('sha256').update(parseCertificate(ca).raw).digest('hex')
    if (fingerprint !== token.caSha256)
      throw new PlatformError(
        'JOIN_REFUSED',
        { server, field: 'caSha256' },
        {
          message:
            'The server has another CA than the token names: it is not the one that invited this host.',
        },
      )
    return { server, ca }
  }
  throw new PlatformError(
    'HOST_UNREACHABLE',
    { servers: token.servers },
    { message: 'No server of the token answers.', cause: unreachable },
  )
}

function pendingKey(stateDir: string, tokenSha256: string): KeyObject {
  const pending = readPendingJoin(stateDir)
  if (pending?.tokenSha256 === tokenSha256) return createPrivateKey(pending.key)
  const key = newHostKey()
  writePendingJoin(stateDir, { key: exportKey(key), tokenSha256 })
  return key
}

function exportKey(key: KeyObject): string {
  const pem = key.export({ type: 'pkcs8', format: 'pem' })
  return typeof pem === 'string' ? pem : pem.toString()
}

/** A certificate for another key or from another CA would fail later, far from its cause. */
function checkCertificate(pem: string, key: KeyObject, ca: string): void {
  const certificate = parseCertificate(pem)
  if (!certificate.checkPrivateKey(key))
    throw new PlatformError('PROTOCOL_VIOLATION', { what: 'the certificate is for another key' })
  if (!certificate.verify(parseCertificate(ca).publicKey))
    throw new PlatformError('PROTOCOL_VIOLATION', { what: 'the certificate is from another CA' })
}
