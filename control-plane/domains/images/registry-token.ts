import {
  createHash,
  createPrivateKey,
  createPublicKey,
  sign,
  X509Certificate,
  type KeyObject,
} from 'node:crypto'
import type { Clock, Random } from '@nubo/base'

export const REGISTRY_SERVICE = 'nubo-registry'
export const REGISTRY_ISSUER = 'nubo'
/** Long enough for a pull over a slow line to begin; the registry checks the token at each request. */
export const PULL_TOKEN_VALIDITY_MS = 15 * 60_000
export const PUSH_TOKEN_VALIDITY_MS = 60 * 60_000

export interface RegistryTokens {
  /** A bearer token for these actions on this one repository (distribution spec, token authentication). */
  issue(asked: {
    subject: string
    repository: string
    actions: readonly ('pull' | 'push' | 'delete')[]
    validityMs: number
  }): {
    token: string
    expiresAtMs: number
  }
}

export function createRegistryTokens(deps: {
  keyPem: string
  certificatePem: string
  clock: Clock
  random: Random
}): RegistryTokens {
  const key = createPrivateKey(deps.keyPem)
  const header = {
    alg: 'ES256',
    typ: 'JWT',
    kid: keyId(createPublicKey(key)),
    x5c: [new X509Certificate(deps.certificatePem).raw.toString('base64')],
  }
  return {
    issue: ({ subject, repository, actions, validityMs }) => {
      const nowSeconds = Math.floor(deps.clock.nowMs() / 1_000)
      const claims = {
        iss: REGISTRY_ISSUER,
        sub: subject,
        aud: REGISTRY_SERVICE,
        iat: nowSeconds,
        // A minute of grace for a registry whose clock is behind.
        nbf: nowSeconds - 60,
        exp: nowSeconds + Math.floor(validityMs / 1_000),
        jti: Buffer.from(deps.random.bytes(16)).toString('hex'),
        access: [{ type: 'repository', name: repository, actions }],
      }
      const text = `${encode(header)}.${encode(claims)}`
      const signature = sign('sha256', Buffer.from(text), {
        key,
        dsaEncoding: 'ieee-p1363',
      }).toString('base64url')
      return { token: `${text}.${signature}`, expiresAtMs: claims.exp * 1_000 }
    },
  }
}

function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}

/** libtrust key id: the first 240 bits of SHA-256 over the key's DER, base32 in groups of four. */
function keyId(publicKey: KeyObject): string {
  const digest = createHash('sha256')
    .update(publicKey.export({ type: 'spki', format: 'der' }))
    .digest()
    .subarray(0, 30)
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'
  let text = ''
  let value = 0
  let bits = 0
  for (const byte of digest) {
    value = (value << 8) | byte
    bits += 8
    while (bits >= 5) {
      text += alphabet[(value >> (bits - 5)) & 31] ?? ''
      bits -= 5
      value &= (1 << bits) - 1
    }
  }
  return (text.match(/.{4}/g) ?? []).join(':')
}
