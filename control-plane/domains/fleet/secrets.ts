import { createCipheriv, createDecipheriv } from 'node:crypto'
import { PlatformError, type Clock, type Random } from '@nubo/base'
import type { Database } from '@nubo/runtime'
import type { Tables } from '../../world/index.ts'

/** Secrets of the region, the same for all its servers. They lie sealed in the database, never in the feed. */
export interface SecretStore {
  /** Undefined if there is none of this name. */
  get(name: string): Promise<string | undefined>
  /** What is stored, or else what `make` gives. Of several servers that ask at once, all get the one that was first. */
  putIfAbsent(name: string, make: () => Promise<string>): Promise<string>
  /** In place of the one before. */
  put(name: string, text: string): Promise<void>
  /** Idempotent. */
  remove(name: string): Promise<void>
}

export const SEALING_KEY_BYTES = 32
const SEAL_VERSION = 'v1'
// AES-GCM, NIST SP 800-38D: 96-bit nonces; a handful of random ones under one key cannot meet.
const NONCE_BYTES = 12
const TAG_BYTES = 16

/** `key`: SEALING_KEY_BYTES bytes. Errors: SETUP_FAILED when a secret was sealed under another key. */
export function createSecretStore(deps: {
  database: Database<Tables>
  key: Uint8Array
  clock: Clock
  random: Random
}): SecretStore {
  const { database, key, clock, random } = deps

  async function get(name: string): Promise<string | undefined> {
    const row = await database.query
      .selectFrom('secret')
      .select('sealed')
      .where('name', '=', name)
      .executeTakeFirst()
    return row === undefined ? undefined : unseal({ key, name, sealed: row.sealed })
  }

  return {
    get,
    putIfAbsent: async (name, make) => {
      const present = await get(name)
      if (present !== undefined) return present
      const sealed = seal({ key, name, text: await make(), nonce: random.bytes(NONCE_BYTES) })
      await database.query
        .insertInto('secret')
        .values({ name, sealed, createdAtMs: clock.nowMs() })
        .onConflict((conflict) => conflict.column('name').doNothing())
        .execute()
      const stored = await get(name)
      if (stored === undefined) throw new Error(`secret ${name} vanished`)
      return stored
    },
    put: async (name, text) => {
      const sealed = seal({ key, name, text, nonce: random.bytes(NONCE_BYTES) })
      await database.query
        .insertInto('secret')
        .values({ name, sealed, createdAtMs: clock.nowMs() })
        .onConflict((conflict) => conflict.column('name').doUpdateSet({ sealed }))
        .execute()
    },
    remove: async (name) => {
      await database.query.deleteFrom('secret').where('name', '=', name).execute()
    },
  }
}

/** AES-256-GCM, bound to the name, so that one secret cannot be put in the place of another. */
export function seal(secret: {
  key: Uint8Array
  name: string
  text: string
  nonce: Uint8Array
}): string {
  const cipher = createCipheriv('aes-256-gcm', secret.key, secret.nonce)
  cipher.setAAD(Buffer.from(secret.name))
  const body = Buffer.concat([cipher.update(secret.text, 'utf8'), cipher.final()])
  const parts = [secret.nonce, body, cipher.getAuthTag()]
  return [SEAL_VERSION, ...parts.map((part) => Buffer.from(part).toString('base64'))].join('.')
}

/** SETUP_FAILED if it was sealed under another key or name, or changed. */
export function unseal(secret: { key: Uint8Array; name: string; sealed: string }): string {
  const [version, nonce, body, tag] = secret.sealed.split('.')
  try {
    if (version !== SEAL_VERSION || nonce === undefined || body === undefined || tag === undefined)
      throw new Error('unknown form')
    const decipher = createDecipheriv('aes-256-gcm', secret.key, Buffer.from(nonce, 'base64'), {
      authTagLength: TAG_BYTES,
    })
    decipher.setAAD(Buffer.from(secret.name))
    decipher.setAuthTag(Buffer.from(tag, 'base64'))
    return Buffer.concat([
      decipher.update(Buffer.from(body, 'base64')),
      decipher.final(),
    ]).toString()
  } catch (cause) {
    throw new PlatformError(
      'SETUP_FAILED',
      { secret: secret.name, next: 'give the server the key file with which the region was made' },
      { message: `The secret ${secret.name} does not open with this key file.`, cause },
    )
  }
}
