// Proves which links count as NICs of the host: not loopback, not those of instances.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { tmpdir } from 'node:os'
import { nicsOf, readInventory } from './inventory.ts'

test('links of instances and loopback are not NICs', () => {
  const text = JSON.stringify([
    { ifname: 'lo', mtu: 65_536, address: '00:00:00:00:00:00' },
    { ifname: 'mgmt0', mtu: 1_500, address: '0a:00:00:00:00:01', link_type: 'ether' },
    { ifname: 'np0123456789ab', mtu: 1_500, address: '0a:00:00:00:00:02' },
    { ifname: 'tun0', mtu: 1_400 },
  ])
  assert.deepEqual(nicsOf(text), [
    { name: 'mgmt0', mac: '0a:00:00:00:00:01', mtuBytes: 1_500 },
    { name: 'tun0', mac: '', mtuBytes: 1_400 },
  ])
})

test('the inventory of this machine is whole', async () => {
  const engines = { docker: '20.10.24' }
  const inventory = await readInventory({ stateDir: tmpdir(), agentVersion: '1', engines })
  assert.ok(inventory.cores >= 1 && inventory.memoryBytes > 0 && inventory.diskBytes > 0)
  assert.deepEqual(inventory.engines, engines)
  assert.ok(inventory.nics.every(({ name }) => name !== 'lo'))
})
