// Proves which ranges and addresses are allowed, and that every refusal names its field and limit.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isPlatformError, type ErrorCode } from '@nubo/base'
import {
  checkGuestAddress,
  checkNetworkRange,
  checkSubnetRange,
  firstFreeAddress,
  gatewayAddress,
  guestAddresses,
  guestMtuBytes,
} from './network.ts'

function refuses(code: ErrorCode, field: string, work: () => unknown): void {
  assert.throws(work, (error) => isPlatformError(error, code) && error.details['field'] === field)
}

test('networks: sizes and reserved ranges', () => {
  for (const cidr of ['10.0.0.0/8', '192.168.0.0/16', '172.16.0.0/28', '8.0.0.0/8'])
    checkNetworkRange(cidr)
  for (const cidr of [
    '10.0.0.0/7',
    '10.0.0.0/29',
    '127.0.0.0/8',
    '169.254.1.0/24',
    '224.0.0.0/8',
    '100.64.0.0/16',
    '0.0.0.0/8',
    'x',
  ]) {
    refuses('INVALID_INPUT', 'cidr', () => checkNetworkRange(cidr))
  }
})

test('subnets lie in their network, beside each other', () => {
  const place = { network: '10.1.0.0/16', others: [{ name: 'a', cidr: '10.1.1.0/24' }] }
  checkSubnetRange('10.1.2.0/24', place)
  refuses('NETWORK_OVERLAPS', 'cidr', () => checkSubnetRange('10.2.0.0/24', place))
  refuses('NETWORK_OVERLAPS', 'cidr', () => checkSubnetRange('10.1.1.128/25', place))
  refuses('NETWORK_OVERLAPS', 'cidr', () => checkSubnetRange('10.1.0.0/16', place))
  refuses('INVALID_INPUT', 'cidr', () => checkSubnetRange('10.1.3.0/30', place))
})

test('guests never get the address of the network, the gateway or broadcast', () => {
  checkGuestAddress('10.1.1.0/29', '10.1.1.2')
  for (const address of ['10.1.1.0', '10.1.1.1', '10.1.1.7', '10.1.1.8', 'x']) {
    refuses('INVALID_INPUT', 'address', () => checkGuestAddress('10.1.1.0/29', address))
  }
  assert.equal(gatewayAddress('10.1.1.0/29'), '10.1.1.1')
  assert.equal(guestAddresses('10.1.1.0/29'), 5)
})

test('the lowest free address is given until none is left', () => {
  const taken = new Set<string>()
  for (let count = 0; count < 5; count++) {
    const address = firstFreeAddress('10.1.1.0/29', (one) => taken.has(one))
    assert.equal(address, `10.1.1.${2 + count}`)
    taken.add(address ?? '')
  }
  assert.equal(
    firstFreeAddress('10.1.1.0/29', (one) => taken.has(one)),
    undefined,
  )
})

test('guests fit the smallest underlay', () => {
  assert.equal(guestMtuBytes([]), 1_450)
  assert.equal(guestMtuBytes([1_600, 9_000]), 1_500)
  assert.equal(guestMtuBytes([1_600, 1_500]), 1_450)
})
