import { createPublicKey, generateKeyPairSync, sign, type KeyObject } from 'node:crypto'

/** A new key of the host; it never leaves it. */
export function newHostKey(): KeyObject {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
}

/**
 * A certificate request (PKCS #10, RFC 2986) as PEM for `commonName`, signed with an EC P-256 key by SHA-256.
 * Written out here because it is one fixed shape of forty lines; the peer parses it with a full implementation.
 */
export function certificateRequest(key: KeyObject, commonName: string): string {
  const publicKey = createPublicKey(key).export({ type: 'spki', format: 'der' })
  const name = sequence(
    tagged(SET, sequence(Buffer.from(OID_COMMON_NAME), tagged(UTF8, Buffer.from(commonName)))),
  )
  const attributes = tagged(CONTEXT_0, Buffer.alloc(0))
  const body = sequence(tagged(INTEGER, Buffer.of(0)), name, publicKey, attributes)
  const signature = sign('sha256', body, key)
  const der = sequence(
    body,
    sequence(Buffer.from(OID_ECDSA_SHA256)),
    tagged(BIT_STRING, Buffer.concat([Buffer.of(0), signature])),
  )
  const lines = der.toString('base64').match(/.{1,64}/g) ?? []
  return `-----BEGIN CERTIFICATE REQUEST-----\n${lines.join('\n')}\n-----END CERTIFICATE REQUEST-----\n`
}

// Tags of X.690.
const INTEGER = 0x02
const BIT_STRING = 0x03
const UTF8 = 0x0c
const SEQUENCE = 0x30
const SET = 0x31
const CONTEXT_0 = 0xa0
// Whole encodings: 2.5.4.3 and 1.2.840.10045.4.3.2.
const OID_COMMON_NAME = [0x06, 3, 0x55, 4, 3]
const OID_ECDSA_SHA256 = [0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2]

function sequence(...parts: readonly Buffer[]): Buffer {
  return tagged(SEQUENCE, Buffer.concat(parts))
}

function tagged(tag: number, content: Buffer): Buffer {
  const length =
    content.length < 0x80
      ? [content.length]
      : content.length < 0x100
        ? [0x81, content.length]
        : [0x82, content.length >> 8, content.length & 0xff]
  return Buffer.concat([Buffer.of(tag, ...length), content])
}
