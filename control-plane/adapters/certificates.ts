import { createHash, type webcrypto } from 'node:crypto'
import { isIP } from 'node:net'
import { PlatformError, type Clock, type Random } from '@nubo/base'
import type { Extension } from '@peculiar/x509'
import type {
  CertificateAuthority,
  IssuedCertificate,
  KeyedCertificate,
  SecretStore,
} from '../domains/fleet/index.ts'
import { x509 } from './x509.ts'

const DAY_MS = 86_400_000
const CA_VALIDITY_MS = 3_650 * DAY_MS
/** A server makes a new one at each start, and again when half of this is over. */
export const SERVER_CERTIFICATE_VALIDITY_MS = 30 * DAY_MS
/** The registry reads its certificate only when it starts, so it gets a long one. */
export const REGISTRY_CERTIFICATE_VALIDITY_MS = 365 * DAY_MS
/** A host renews at half of it; a stolen key is worth no longer than this. */
export const HOST_CERTIFICATE_VALIDITY_MS = 7 * DAY_MS
/** Clocks of machines differ a little. */
const CLOCK_SKEW_MS = 5 * 60_000
const SERIAL_BYTES = 16

const ecP256 = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const
const CA_SECRET = 'region-ca'
const REGISTRY_SIGNER_SECRET = 'registry-signer'

interface Deps {
  readonly secrets: Pick<SecretStore, 'get' | 'putIfAbsent'>
  readonly clock: Clock
  readonly random: Random
}

interface Authority {
  readonly deps: Deps
  readonly certificate: InstanceType<typeof x509.X509Certificate>
  readonly key: webcrypto.CryptoKey
}

/** Reads the region's CA, or makes it: EC P-256, ten years, once for all servers of the region. */
export async function openCertificateAuthority(
  deps: Deps & { readonly region: string },
): Promise<CertificateAuthority> {
  const stored = parseKeyed(
    await deps.secrets.putIfAbsent(CA_SECRET, async () =>
      JSON.stringify(
        await selfSigned(deps, {
          name: `CN=Nubo region ${deps.region}`,
          validityMs: CA_VALIDITY_MS,
          extensions: [
            new x509.BasicConstraintsExtension(true, 0, true),
            new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
          ],
        }),
      ),
    ),
  )
  const certificate = new x509.X509Certificate(stored.certificatePem)
  const authority: Authority = { deps, certificate, key: await importSigningKey(stored.keyPem) }
  return {
    caPem: stored.certificatePem,
    caSha256: createHash('sha256').update(Buffer.from(certificate.rawData)).digest('hex'),
    issueServer: (asked) => issueServer(authority, asked),
    issueHost: (asked) => issueHost(authority, asked),
    registrySigner: async () =>
      parseKeyed(
        await deps.secrets.putIfAbsent(REGISTRY_SIGNER_SECRET, async () =>
          JSON.stringify(
            await selfSigned(deps, {
              name: 'CN=Nubo image tokens',
              validityMs: CA_VALIDITY_MS,
              extensions: [new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true)],
            }),
          ),
        ),
      ),
  }
}

async function selfSigned(
  deps: Deps,
  asked: { name: string; validityMs: number; extensions: Extension[] },
): Promise<KeyedCertificate> {
  const keys = await newKeys()
  const nowMs = deps.clock.nowMs()
  const expiresAtMs = nowMs + asked.validityMs
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: newSerial(deps.random),
    name: asked.name,
    notBefore: new Date(nowMs - CLOCK_SKEW_MS),
    notAfter: new Date(expiresAtMs),
    signingAlgorithm: ecP256,
    keys,
    extensions: [
      ...asked.extensions,
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  })
  return {
    certificatePem: certificate.toString('pem'),
    keyPem: await exportKey(keys.privateKey),
    expiresAtMs,
  }
}

async function issueServer(
  authority: Authority,
  asked: { commonName: string; addresses: readonly string[]; validityMs: number },
): Promise<KeyedCertificate> {
  const keys = await newKeys()
  const issued = await issue(authority, {
    commonName: asked.commonName,
    serial: newSerial(authority.deps.random),
    publicKey: keys.publicKey,
    validityMs: asked.validityMs,
    usage: x509.ExtendedKeyUsage.serverAuth,
    names: asked.addresses.map((address) => ({
      type: isIP(address) === 0 ? 'dns' : 'ip',
      value: address,
    })),
  })
  return { ...issued, keyPem: await exportKey(keys.privateKey) }
}

async function issueHost(
  authority: Authority,
  asked: { hostId: string; certificateRequest: string; serial: string },
): Promise<IssuedCertificate> {
  return issue(authority, {
    commonName: asked.hostId,
    serial: asked.serial,
    publicKey: await keyOfRequest(asked.certificateRequest),
    validityMs: HOST_CERTIFICATE_VALIDITY_MS,
    usage: x509.ExtendedKeyUsage.clientAuth,
    names: [{ type: 'url', value: `nubo:host:${asked.hostId}` }],
  })
}

async function issue(
  authority: Authority,
  asked: {
    commonName: string
    serial: string
    publicKey: webcrypto.CryptoKey
    validityMs: number
    /** A host cannot pass for a server with its certificate, nor a server for a host. */
    usage: string
    names: readonly { type: 'dns' | 'ip' | 'url'; value: string }[]
  },
): Promise<IssuedCertificate> {
  const nowMs = authority.deps.clock.nowMs()
  const expiresAtMs = nowMs + asked.validityMs
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: asked.serial,
    subject: [{ CN: [asked.commonName] }],
    issuer: authority.certificate.subjectName,
    notBefore: new Date(nowMs - CLOCK_SKEW_MS),
    notAfter: new Date(expiresAtMs),
    signingAlgorithm: ecP256,
    publicKey: asked.publicKey,
    signingKey: authority.key,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([asked.usage]),
      new x509.SubjectAlternativeNameExtension([...asked.names]),
      await x509.AuthorityKeyIdentifierExtension.create(authority.certificate.publicKey),
    ],
  })
  return { certificatePem: certificate.toString('pem'), expiresAtMs }
}

/** The only thing taken from a request is its key; names and extensions in it mean nothing. */
async function keyOfRequest(pem: string): Promise<webcrypto.CryptoKey> {
  try {
    const request = new x509.Pkcs10CertificateRequest(pem)
    const { algorithm } = request.publicKey
    if (
      algorithm.name !== 'ECDSA' ||
      !('namedCurve' in algorithm) ||
      algorithm.namedCurve !== 'P-256'
    )
      throw new Error('the key is not of the kind EC P-256')
    if (!(await request.verify())) throw new Error('the signature is not by the key in it')
    return await request.publicKey.export(ecP256, ['verify'])
  } catch (cause) {
    throw new PlatformError(
      'INVALID_INPUT',
      { field: 'certificateRequest', next: 'send a PKCS #10 request with an EC P-256 key' },
      { message: 'The certificate request is malformed.', cause },
    )
  }
}

/** Positive and without a leading zero byte (RFC 5280, section 4.1.2.2), so that its hex text has one form. */
export function newSerial(random: Random): string {
  const bytes = Buffer.from(random.bytes(SERIAL_BYTES))
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40
  return bytes.toString('hex')
}

async function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  return crypto.subtle.generateKey(ecP256, true, ['sign', 'verify'])
}

async function exportKey(key: webcrypto.CryptoKey): Promise<string> {
  const der = Buffer.from(await crypto.subtle.exportKey('pkcs8', key))
  const lines = der.toString('base64').match(/.{1,64}/g) ?? []
  return ['-----BEGIN PRIVATE KEY-----', ...lines, '-----END PRIVATE KEY-----', ''].join('\n')
}

async function importSigningKey(pem: string): Promise<webcrypto.CryptoKey> {
  const base64 = pem.replaceAll(/-----[A-Z ]+-----|\s/g, '')
  return crypto.subtle.importKey('pkcs8', Buffer.from(base64, 'base64'), ecP256, false, ['sign'])
}

function parseKeyed(text: string): KeyedCertificate {
  const value: unknown = JSON.parse(text)
  if (
    typeof value !== 'object' ||
    value === null ||
    !('certificatePem' in value && typeof value.certificatePem === 'string') ||
    !('keyPem' in value && typeof value.keyPem === 'string') ||
    !('expiresAtMs' in value && typeof value.expiresAtMs === 'number')
  )
    throw new Error('a stored certificate has an unknown form')
  const { certificatePem, keyPem, expiresAtMs } = value
  return { certificatePem, keyPem, expiresAtMs }
}
