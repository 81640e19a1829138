import { createHash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { createServer, type Server } from 'node:https'
import { TLSSocket } from 'node:tls'
import { formatJoinToken } from '@nubo/contracts/host'
import { WebSocketServer, type WebSocket } from 'ws'

// The library's dependency injection asks for three functions of an old proposal when it loads.
const metadata = new WeakMap<object, Map<unknown, unknown>>()
Object.assign(Reflect, {
  getMetadata: (key: unknown, target: object) => metadata.get(target)?.get(key),
  getOwnMetadata: (key: unknown, target: object) => metadata.get(target)?.get(key),
  defineMetadata: (key: unknown, value: unknown, target: object) => {
    metadata.set(target, (metadata.get(target) ?? new Map<unknown, unknown>()).set(key, value))
  },
})
const x509 = await import('@peculiar/x509')

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const
const DAY_MS = 86_400_000

interface Issued {
  readonly certificate: string
  readonly key: string
}

/** A region's CA, made with a full X.509 implementation. */
export class TestCa {
  readonly #keys: CryptoKeyPair
  readonly #certificate: InstanceType<typeof x509.X509Certificate>

  private constructor(keys: CryptoKeyPair, certificate: InstanceType<typeof x509.X509Certificate>) {
    this.#keys = keys
    this.#certificate = certificate
  }

  static async make(): Promise<TestCa> {
    const keys = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
    const certificate = await x509.X509CertificateGenerator.createSelfSigned({
      name: 'CN=Test region',
      notBefore: new Date(Date.now() - DAY_MS),
      notAfter: new Date(Date.now() + DAY_MS),
      signingAlgorithm: algorithm,
      keys,
      extensions: [new x509.BasicConstraintsExtension(true, 0, true)],
    })
    return new TestCa(keys, certificate)
  }

  get pem(): string {
    return this.#certificate.toString('pem')
  }

  get sha256(): string {
    return createHash('sha256').update(Buffer.from(this.#certificate.rawData)).digest('hex')
  }

  /** Checks the request as a server does, and issues for its key. */
  async certify(
    request: string,
    names: ConstructorParameters<typeof x509.GeneralNames>[0],
  ): Promise<string> {
    const parsed = new x509.Pkcs10CertificateRequest(request)
    if (!(await parsed.verify())) throw new Error('the request is not signed by its key')
    return this.#issue(await parsed.publicKey.export(algorithm, ['verify']), parsed.subject, names)
  }

  async issueServer(): Promise<Issued> {
    const keys = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
    const names = [{ type: 'ip' as const, value: '127.0.0.1' }]
    const der = Buffer.from(await crypto.subtle.exportKey('pkcs8', keys.privateKey))
    return {
      certificate: await this.#issue(keys.publicKey, 'CN=server', names),
      key: `-----BEGIN PRIVATE KEY-----\n${der.toString('base64')}\n-----END PRIVATE KEY-----\n`,
    }
  }

  async #issue(
    publicKey: CryptoKey,
    subject: string,
    names: ConstructorParameters<typeof x509.GeneralNames>[0],
  ): Promise<string> {
    const certificate = await x509.X509CertificateGenerator.create({
      subject,
      issuer: this.#certificate.subject,
      notBefore: new Date(Date.now() - DAY_MS),
      notAfter: new Date(Date.now() + DAY_MS),
      signingAlgorithm: algorithm,
      publicKey,
      signingKey: this.#keys.privateKey,
      extensions: [new x509.SubjectAlternativeNameExtension(names)],
    })
    return certificate.toString('pem')
  }
}

type CryptoKey = Awaited<ReturnType<typeof crypto.subtle.importKey>>
interface CryptoKeyPair {
  readonly publicKey: CryptoKey
  readonly privateKey: CryptoKey
}

type Answer = { status: number; body: unknown }

/** One server's host contract listener, real TLS and WebSockets on the loopback. */
export class TestServer {
  readonly ca: TestCa
  readonly address: string
  readonly calls: { path: string; body: unknown; isCertified: boolean }[] = []
  /** By path; the CA is served by itself. */
  readonly answers = new Map<string, (body: unknown) => Answer | Promise<Answer>>()
  /** Sockets by path, as they come. */
  onSocket: (socket: WebSocket, path: string) => void = (socket) => socket.close()
  /** Sockets to these paths are refused with 404, as by a server that has no such path. */
  readonly unknownPaths = new Set<string>()
  /** Another CA's certificate, to play somebody else. */
  shownCa: string | undefined
  readonly #server: Server
  readonly #sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false })

  private constructor(ca: TestCa, server: Server, port: number) {
    this.ca = ca
    this.#server = server
    this.address = `127.0.0.1:${port}`
    server.on('request', (request, response) => {
      void this.#answer(request).then(({ status, body }) => {
        const isText = typeof body === 'string'
        response
          .writeHead(status, {
            'content-type': isText ? 'application/x-pem-file' : 'application/json',
          })
          .end(isText ? body : JSON.stringify(body))
      })
    })
    server.on('upgrade', (request, socket, head) => {
      if (!isCertified(request)) return void socket.destroy()
      if (this.unknownPaths.has(request.url ?? ''))
        return void socket.end('HTTP/1.1 404 Not Found\r\nconnection: close\r\n\r\n')
      this.#sockets.handleUpgrade(request, socket, head, (webSocket) =>
        this.onSocket(webSocket, request.url ?? ''),
      )
    })
  }

  static async start(ca: TestCa): Promise<TestServer> {
    const { certificate, key } = await ca.issueServer()
    const server = createServer({
      cert: certificate,
      key,
      ca: ca.pem,
      requestCert: true,
      rejectUnauthorized: false,
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const address = server.address()
    if (address === null || typeof address === 'string') throw new Error('no port')
    return new TestServer(ca, server, address.port)
  }

  token(change: { hostName?: string; secret?: string; servers?: string[] } = {}): string {
    return formatJoinToken({
      v: 1,
      hostName: 'h1',
      caSha256: this.ca.sha256,
      secret: 'secret',
      servers: [this.address],
      ...change,
    })
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets.clients) socket.terminate()
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  async #answer(request: IncomingMessage): Promise<Answer> {
    const path = request.url ?? ''
    if (path === '/host/v1/ca') return { status: 200, body: this.shownCa ?? this.ca.pem }
    const chunks: Uint8Array[] = []
    for await (const chunk of request) if (chunk instanceof Uint8Array) chunks.push(chunk)
    const body: unknown = JSON.parse(Buffer.concat(chunks).toString() || 'null')
    this.calls.push({ path, body, isCertified: isCertified(request) })
    const answer = this.answers.get(path)
    if (answer === undefined)
      return {
        status: 404,
        body: { code: 'NOT_FOUND', message: 'no', details: {}, requestId: 'r' },
      }
    return answer(body)
  }
}

function isCertified(request: IncomingMessage): boolean {
  return request.socket instanceof TLSSocket && request.socket.authorized
}
