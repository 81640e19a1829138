// Proves which management controllers are taken: passwords never go over a wire that others can read.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isPlatformError } from '@nubo/base'
import { hostPowerOf } from './power.ts'

const path = '/redfish/v1/Systems/1'
const print = 'AB:'.repeat(31) + 'AB'

test('https with a fingerprint, or http on loopback', () => {
  assert.deepEqual(
    hostPowerOf({ redfish: `https://10.0.0.9${path}/`, user: 'u', certificateSha256: print }),
    { redfish: `https://10.0.0.9${path}`, user: 'u', certificateSha256: 'ab'.repeat(32) },
  )
  assert.deepEqual(hostPowerOf({ redfish: `http://127.0.0.1:8000${path}`, user: 'u' }), {
    redfish: `http://127.0.0.1:8000${path}`,
    user: 'u',
    certificateSha256: null,
  })
})

const refused: [redfish: string, field: string, print?: string][] = [
  [`http://10.0.0.9${path}`, 'redfish'],
  [`https://10.0.0.9${path}`, 'certificateSha256'],
  [`https://10.0.0.9${path}`, 'certificateSha256', 'ab:cd'],
  ['https://10.0.0.9/', 'redfish', print],
  [`https://10.0.0.9${path}/Actions`, 'redfish', print],
  [`https://u:p@10.0.0.9${path}`, 'redfish', print],
  [`https://10.0.0.9${path}?a=1`, 'redfish', print],
  [`ftp://127.0.0.1${path}`, 'redfish'],
  ['nonsense', 'redfish'],
]
for (const [redfish, field, certificateSha256] of refused)
  test(`refuses ${redfish} ${certificateSha256 ?? ''}`, () => {
    assert.throws(
      () => hostPowerOf({ redfish, user: 'u', certificateSha256 }),
      (error) => isPlatformError(error, 'INVALID_INPUT') && error.details['field'] === field,
    )
  })
