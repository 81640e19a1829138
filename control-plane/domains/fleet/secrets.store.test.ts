// Proves that secrets lie sealed in the database, open only with their key and name, and are made once by many servers.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isPlatformError } from '@nubo/base'
import { systemClock, systemRandom } from '@nubo/runtime'
import { openTestDatabase } from '../../../tests/support/database.ts'
import type { Tables } from '../../world/index.ts'
import { createSecretStore, seal, SEALING_KEY_BYTES, unseal } from './secrets.ts'

const key = Buffer.alloc(SEALING_KEY_BYTES, 7)
const nonce = Buffer.alloc(12, 1)
const common = { clock: systemClock, random: systemRandom }

test('servers that make a secret at the same time agree on one', async (context) => {
  const { database } = await openTestDatabase<Tables>(context)
  const stores = Array.from({ length: 8 }, () => createSecretStore({ database, key, ...common }))
  const got = await Promise.all(
    stores.map((store, index) => store.putIfAbsent('ca', async () => `made by ${index}`)),
  )
  assert.equal(new Set(got).size, 1)
  assert.equal(await stores[0]?.get('ca'), got[0])
  assert.equal(await stores[0]?.get('other'), undefined)
})

test('a secret is unreadable in the database and with another key', async (context) => {
  const { database } = await openTestDatabase<Tables>(context)
  const store = createSecretStore({ database, key, ...common })
  await store.putIfAbsent('ca', async () => 'top secret')
  const row = await database.query.selectFrom('secret').selectAll().executeTakeFirstOrThrow()
  assert.doesNotMatch(row.sealed, /secret/)
  assert.doesNotMatch(Buffer.from(row.sealed, 'base64').toString('latin1'), /secret/)
  const other = createSecretStore({ database, key: Buffer.alloc(SEALING_KEY_BYTES, 8), ...common })
  await assert.rejects(other.get('ca'), (error) => isPlatformError(error, 'SETUP_FAILED'))
})

test('a sealed secret that was changed, cut or moved to another name does not open', () => {
  const sealed = seal({ key, name: 'ca', text: 'top secret', nonce })
  assert.equal(unseal({ key, name: 'ca', sealed }), 'top secret')
  const parts = sealed.split('.')
  const changes = [
    { key, name: 'signer', sealed },
    { key, name: 'ca', sealed: sealed.replace('v1', 'v2') },
    { key, name: 'ca', sealed: parts.slice(0, 3).join('.') },
    { key, name: 'ca', sealed: '' },
    { key, name: 'ca', sealed: [parts[0], parts[1], 'AAAA', parts[3]].join('.') },
    // A shortened tag would be easier to guess.
    { key, name: 'ca', sealed: [parts[0], parts[1], parts[2], parts[3]?.slice(0, 8)].join('.') },
  ]
  for (const change of changes)
    assert.throws(
      () => unseal(change),
      (error) => isPlatformError(error, 'SETUP_FAILED'),
      change.sealed,
    )
})
