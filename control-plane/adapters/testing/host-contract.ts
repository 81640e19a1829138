import { createHash, X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { request as httpsRequest, type RequestOptions } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  certificateReply,
  HOST_CONTRACT_LATEST,
  hostSessionPath,
  parseJoinToken,
  serverMessage,
  type AgentMessage,
  type ServerMessage,
} from '@nubo/contracts/host'
import { createHttpServer, silentLog, systemClock, systemRandom } from '@nubo/runtime'
import { WebSocket, type RawData } from 'ws'
import { createSecretStore, type CertificateAuthority } from '../../domains/fleet/index.ts'
import {
  helloOf,
  openServers,
  placeOfHost,
  type TestServer,
} from '../../domains/fleet/testing/region.ts'
import {
  createHostSessions,
  databaseHostCommands,
  forOwnSets,
  type HostReport,
  type HostSessions,
} from '../../host-sessions/index.ts'
import { openCertificateAuthority } from '../certificates.ts'
import { HostListener } from '../host-listener.ts'
import { createStreamUpgrade } from '../stream-upgrade.ts'
import { x509 } from '../x509.ts'

const REPLY_TIMEOUT_MS = 10_000
export const SEALING_KEY = Buffer.alloc(32, 1)

/** One server process with its host contract over real TLS and its public API for streams. */
export interface ContractServer extends TestServer {
  readonly certificates: CertificateAuthority
  readonly sessions: HostSessions
  readonly found: HostReport[]
  readonly hostPort: number
  readonly apiPort: number
}

export async function startHostContract(
  context: TestContext,
  count = 1,
): Promise<ContractServer[]> {
  let certificates: CertificateAuthority | undefined
  const servers = await openServers(context, count, async (database) => {
    const system = { clock: systemClock, random: systemRandom }
    const secrets = createSecretStore({ database, key: SEALING_KEY, ...system })
    certificates = await openCertificateAuthority({ secrets, region: 'test', ...system })
    return certificates
  })
  const authority = certificates
  if (authority === undefined) throw new Error('no CA was opened')
  return Promise.all(
    servers.map((server, index) => startOne(context, { server, index, authority })),
  )
}

async function startOne(
  context: TestContext,
  about: { server: TestServer; index: number; authority: CertificateAuthority },
): Promise<ContractServer> {
  const { server, index, authority: certificates } = about
  const { world, database, fleet, clock } = server
  const found: HostReport[] = []
  const common = { clock, random: systemRandom, log: silentLog }
  const serverName = `s${index + 1}`
  // Streams tell the host where to dial, so the port must be known before the sessions are made.
  const dialled = { hostContractAddress: '' }
  const sessions = createHostSessions({
    ...common,
    world,
    presence: fleet.presence,
    membership: fleet.membership,
    events: { recordFound: async (_host, report) => void found.push(report) },
    commands: databaseHostCommands(database),
    server: {
      name: serverName,
      region: 'test',
      hostContractServers: [],
      registry: '127.0.0.1:5000',
      probeKey: '7'.repeat(64),
      get hostContractAddress() {
        return dialled.hostContractAddress
      },
    },
  })
  const listener = new HostListener({
    ...common,
    bind: { host: '127.0.0.1', port: 0 },
    serverName,
    certificates,
    sessions,
    calls: {
      join: fleet.membership.join,
      renew: fleet.membership.renew,
      imageToken: forOwnSets({
        world,
        database,
        issue: async ({ repository }) => ({
          registry: '127.0.0.1:5000',
          token: `pull ${repository}`,
          expiresAtMs: 1,
        }),
      }),
    },
    admits: fleet.membership.admits,
  })
  const api = createHttpServer({
    ...common,
    bindings: [],
    authorize: () => Promise.reject(new Error('there are no calls')),
    newRequestId: () => 'r',
    onUpgrade: createStreamUpgrade({ streams: sessions.streams, clock }),
  })
  await sessions.start()
  fleet.presence.start()
  const hostPort = await listener.start()
  dialled.hostContractAddress = `127.0.0.1:${hostPort}`
  await api.listen({ host: '127.0.0.1', port: 0 })
  context.after(async () => {
    await sessions.stop()
    await listener.stop()
    await api.close()
    await fleet.presence.stop()
  })
  // proof: it listens on an address of the network
  const apiPort = (api.server.address() as AddressInfo).port
  return { ...server, certificates, sessions, found, hostPort, apiPort }
}

/** What an agent keeps: its key and what `join` gave it. */
export interface AgentIdentity {
  readonly hostId: string
  readonly key: string
  readonly cert: string
  readonly ca: string
}

const ecP256 = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }

export async function newKeyAndRequest(): Promise<{ key: string; certificateRequest: string }> {
  const keys = await crypto.subtle.generateKey(ecP256, true, ['sign', 'verify'])
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    name: 'CN=agent',
    keys,
    signingAlgorithm: ecP256,
  })
  const der = Buffer.from(await crypto.subtle.exportKey('pkcs8', keys.privateKey))
  const key = `-----BEGIN PRIVATE KEY-----\n${der.toString('base64')}\n-----END PRIVATE KEY-----\n`
  return { key, certificateRequest: request.toString('pem') }
}

/** All that an agent does to join: invited by the operator, it trusts the CA of its token and nothing else. */
export async function joinAgent(server: ContractServer, name: string): Promise<AgentIdentity> {
  const invited = await server.fleet.service.invite({ name, roles: ['compute'], ...placeOfHost })
  const token = parseJoinToken(invited.token)
  if (token === undefined) throw new Error('the join token does not parse')
  const unverified = { rejectUnauthorized: false }
  const ca = (await call(server, { path: '/host/v1/ca', tls: unverified })).text
  const fingerprint = createHash('sha256').update(new X509Certificate(ca).raw).digest('hex')
  if (fingerprint !== token.caSha256) throw new Error('the CA is not the one of the token')
  const { key, certificateRequest } = await newKeyAndRequest()
  const reply = await call(server, {
    method: 'POST',
    path: '/host/v1/join',
    tls: { ca },
    body: { secret: token.secret, hostName: name, certificateRequest },
  })
  if (reply.status !== 200) throw new Error(reply.text)
  const joined = certificateReply.parse(JSON.parse(reply.text))
  return { hostId: joined.hostId, key, cert: joined.certificate, ca }
}

export async function call(
  server: ContractServer,
  asked: { method?: string; path: string; tls?: RequestOptions; body?: unknown },
): Promise<{ status: number; text: string }> {
  const body =
    asked.body === undefined || typeof asked.body === 'string'
      ? asked.body
      : JSON.stringify(asked.body)
  const request = httpsRequest({
    host: '127.0.0.1',
    port: server.hostPort,
    method: asked.method ?? 'GET',
    path: asked.path,
    agent: false,
    ca: server.certificates.caPem,
    ...asked.tls,
  })
  request.end(body)
  const signal = AbortSignal.timeout(REPLY_TIMEOUT_MS)
  const [response] = await once(request, 'response', { signal })
  let text = ''
  for await (const chunk of response) text += String(chunk)
  return { status: Number(response.statusCode), text }
}

/** A WebSocket that keeps what came. */
export class TestSocket {
  readonly socket: WebSocket
  readonly messages: { text?: string; bytes?: Buffer }[] = []
  closed: { code: number; reason: string } | undefined

  constructor(url: string, tls: RequestOptions = {}) {
    this.socket = new WebSocket(url, { perMessageDeflate: false, ...tls })
    this.socket.on('error', () => undefined)
    this.socket.on('message', (data: RawData, isBinary) => {
      // proof: the default binaryType of ws gives buffers
      const bytes = data as Buffer
      this.messages.push(isBinary ? { bytes } : { text: bytes.toString() })
    })
    this.socket.on('close', (code, reason) => {
      this.closed = { code, reason: reason.toString() }
    })
  }

  send(message: string | Uint8Array | AgentMessage): void {
    const isRaw = typeof message === 'string' || message instanceof Uint8Array
    this.socket.send(isRaw ? message : JSON.stringify(message))
  }

  async opened(): Promise<this> {
    await waitUntil(() => this.socket.readyState === WebSocket.OPEN)
    return this
  }

  async closing(): Promise<{ code: number; reason: string }> {
    await waitUntil(() => this.closed !== undefined)
    return this.closed ?? { code: 0, reason: '' }
  }

  /** Messages of the session's contract that came so far. */
  sessionMessages(): ServerMessage[] {
    return this.messages.map(({ text }) => serverMessage.parse(JSON.parse(text ?? '')))
  }
}

export function dialSession(
  server: ContractServer,
  identity: Partial<AgentIdentity>,
  path = hostSessionPath(HOST_CONTRACT_LATEST),
): TestSocket {
  const { key, cert, ca = server.certificates.caPem } = identity
  const tls = { ca, ...(key === undefined ? {} : { key }), ...(cert === undefined ? {} : { cert }) }
  return new TestSocket(`wss://127.0.0.1:${server.hostPort}${path}`, tls)
}

/** A session that is live. */
export async function connectAgent(
  server: ContractServer,
  identity: AgentIdentity,
): Promise<TestSocket> {
  const agent = await dialSession(server, identity).opened()
  // Hosts of these tests are called h1, h2, …
  const vtepAddress = `10.1.0.${server.world.host.get(identity.hostId)?.name.slice(1)}`
  agent.send(helloOf(identity.hostId, { vtepAddress }))
  await waitUntil(() => agent.sessionMessages().some((message) => message.type === 'wanted'))
  return agent
}

export async function waitUntil(condition: () => boolean): Promise<void> {
  const untilMs = performance.now() + REPLY_TIMEOUT_MS
  while (!condition()) {
    if (performance.now() > untilMs) throw new Error(`never came true: ${condition.toString()}`)
    await sleep(5)
  }
}
