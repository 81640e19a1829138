// Proves what the region's certificates say, what they allow, and that hostile certificate requests are refused.
import assert from 'node:assert/strict'
import { createHash, createPrivateKey, X509Certificate } from 'node:crypto'
import { describe, test } from 'node:test'
import { isPlatformError, type Clock, type HostId } from '@nubo/base'
import { systemClock, systemRandom } from '@nubo/runtime'
import type { SecretStore } from '../domains/fleet/index.ts'
import { newSerial, openCertificateAuthority } from './certificates.ts'
import { x509 } from './x509.ts'

const DAY_MS = 86_400_000
const hostId = '01900000-0000-7000-8000-000000000001' as HostId // proof: a UUID; nothing else is asked of it

type Secrets = Pick<SecretStore, 'get' | 'putIfAbsent'>

function memorySecrets(): Secrets {
  const kept = new Map<string, string>()
  return {
    get: async (name) => kept.get(name),
    putIfAbsent: async (name, make) => {
      const made = kept.get(name) ?? (await make())
      kept.set(name, made)
      return made
    },
  }
}

function openAuthority(options: { secrets?: Secrets; clock?: Clock } = {}) {
  const { secrets = memorySecrets(), clock = systemClock } = options
  return openCertificateAuthority({ secrets, clock, random: systemRandom, region: 'test' })
}

async function newRequest(
  algorithm: { name: string; namedCurve?: string; hash?: string } = {
    name: 'ECDSA',
    namedCurve: 'P-256',
    hash: 'SHA-256',
  },
  name = 'CN=anything',
): Promise<string> {
  const parameters =
    algorithm.name === 'ECDSA'
      ? algorithm
      : { ...algorithm, modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]) }
  const keys = await crypto.subtle.generateKey(parameters, true, ['sign', 'verify'])
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    name,
    // proof: an asymmetric algorithm gives a pair
    keys: keys as never,
    signingAlgorithm: { name: algorithm.name, hash: 'SHA-256' },
    extensions: [
      new x509.BasicConstraintsExtension(true, 5, true),
      new x509.SubjectAlternativeNameExtension([{ type: 'url', value: 'nubo:host:other' }]),
    ],
  })
  return request.toString('pem')
}

describe('the certificate authority', () => {
  test('is made once and is the same for every server of the region', async () => {
    const secrets = memorySecrets()
    const first = await openAuthority({ secrets })
    const second = await openAuthority({ secrets })
    assert.equal(first.caPem, second.caPem)
    const certificate = new X509Certificate(first.caPem)
    assert.ok(certificate.ca)
    assert.equal(first.caSha256, createHash('sha256').update(certificate.raw).digest('hex'))
    assert.ok(certificate.validToDate.getTime() > Date.now() + 3_600 * DAY_MS)
    // What the second issues is trusted by whoever trusts the first.
    const issued = await second.issueServer({
      commonName: 's2',
      addresses: ['10.0.0.1'],
      validityMs: DAY_MS,
    })
    assert.ok(new X509Certificate(issued.certificatePem).checkIssued(certificate))
    assert.ok(new X509Certificate(issued.certificatePem).verify(certificate.publicKey))
  })

  test('gives servers a certificate for their addresses that only serves', async () => {
    const authority = await openAuthority()
    const issued = await authority.issueServer({
      commonName: 'Nubo server s1',
      addresses: ['172.31.0.1', 'cloud.example'],
      validityMs: DAY_MS,
    })
    const certificate = new X509Certificate(issued.certificatePem)
    assert.equal(certificate.checkIP('172.31.0.1'), '172.31.0.1')
    assert.equal(certificate.checkHost('cloud.example'), 'cloud.example')
    assert.equal(certificate.checkIP('172.31.0.2'), undefined)
    assert.equal(certificate.ca, false)
    assert.deepEqual(certificate.keyUsage, ['1.3.6.1.5.5.7.3.1'])
    assert.ok(certificate.checkPrivateKey(createPrivateKey(issued.keyPem)))
  })

  test('gives hosts a certificate that says who they are and nothing of what they asked for', async () => {
    const authority = await openAuthority()
    const issued = await authority.issueHost({
      hostId,
      certificateRequest: await newRequest(),
      serial: '4a00000000000000ffffffffffffffff',
    })
    const certificate = new X509Certificate(issued.certificatePem)
    assert.equal(certificate.subject, `CN=${hostId}`)
    assert.equal(certificate.subjectAltName, `URI:nubo:host:${hostId}`)
    assert.equal(certificate.serialNumber.toLowerCase(), '4a00000000000000ffffffffffffffff')
    assert.equal(certificate.ca, false)
    assert.deepEqual(certificate.keyUsage, ['1.3.6.1.5.5.7.3.2'])
    assert.ok(Math.abs(issued.expiresAtMs - Date.now() - 7 * DAY_MS) < 60_000)
    assert.ok(Math.abs(certificate.validToDate.getTime() - issued.expiresAtMs) < 2_000)
  })

  test('takes its time from the clock it was given', async () => {
    const clock: Clock = { ...systemClock, nowMs: () => Date.UTC(2020, 0, 1) }
    const authority = await openAuthority({ clock })
    const issued = await authority.issueHost({
      hostId,
      certificateRequest: await newRequest(),
      serial: newSerial(systemRandom),
    })
    assert.equal(issued.expiresAtMs, Date.UTC(2020, 0, 8))
  })

  test('refuses requests that are garbage, changed, or of another kind of key', async () => {
    const authority = await openAuthority()
    const good = await newRequest()
    const changed = Buffer.from(good.replaceAll(/-----[A-Z ]+-----|\s/g, ''), 'base64')
    const at = changed.length - 5
    changed[at] = (changed[at] ?? 0) ^ 1
    const armour = (der: Buffer): string =>
      `-----BEGIN CERTIFICATE REQUEST-----\n${der.toString('base64')}\n-----END CERTIFICATE REQUEST-----`
    const requests = [
      '',
      'garbage',
      armour(Buffer.alloc(400, 0x30)),
      armour(changed.subarray(0, 100)),
      armour(changed),
      authority.caPem,
      await newRequest({ name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' }),
      await newRequest({ name: 'ECDSA', namedCurve: 'P-384', hash: 'SHA-256' }),
    ]
    for (const certificateRequest of requests) {
      await assert.rejects(
        authority.issueHost({ hostId, certificateRequest, serial: newSerial(systemRandom) }),
        (error) => isPlatformError(error, 'INVALID_INPUT'),
        certificateRequest,
      )
    }
  })

  test('signs image tokens with a key that is not of the CA, the same for all servers', async () => {
    const secrets = memorySecrets()
    const first = await openAuthority({ secrets })
    const signer = await first.registrySigner()
    assert.deepEqual(await (await openAuthority({ secrets })).registrySigner(), signer)
    const certificate = new X509Certificate(signer.certificatePem)
    assert.ok(certificate.checkPrivateKey(createPrivateKey(signer.keyPem)))
    assert.equal(certificate.checkIssued(new X509Certificate(first.caPem)), false)
  })

  test('draws serials that are positive and have one form', () => {
    for (let round = 0; round < 100; round++)
      assert.match(newSerial(systemRandom), /^[4-7][0-9a-f]{31}$/)
  })
})
