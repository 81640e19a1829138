import { createHash } from 'node:crypto'
import type { Random } from '@nubo/base'
import type { Token } from '@nubo/contracts'
import type { TokenRow } from '../../world/index.ts'

const SECRET_PREFIX = 'nubo-'

/** 256 random bits; strong enough that a plain SHA-256 is a safe way to keep it (no dictionary can be tried). */
export function newSecret(random: Random): string {
  return SECRET_PREFIX + Buffer.from(random.bytes(32)).toString('base64url')
}

export function secretSha256(secret: string): string {
  return createHash('sha256').update(secret).digest('hex')
}

export function isTokenValid(token: TokenRow, nowMs: number): boolean {
  return token.revokedAtMs === null && (token.expiresAtMs === null || token.expiresAtMs > nowMs)
}

export function tokenView(token: TokenRow): Token {
  const { id, name, role, projectId, accountId, createdAtMs, expiresAtMs, revokedAtMs } = token
  return { id, name, role, projectId, accountId, createdAtMs, expiresAtMs, revokedAtMs }
}
