import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { cidrContains, parseCidr, parseIpv4 } from '@nubo/base'
import { underlayPlan } from './underlay.ts'

describe('underlayPlan', () => {
  it('gives a hundred hosts two addresses each, in their networks, none twice', () => {
    const plan = underlayPlan(9)
    const management = parseCidr('198.18.9.0/25') ?? assert.fail()
    const data = parseCidr('198.18.9.128/25') ?? assert.fail()
    const seen = new Set([plan.serverAddress])
    for (let number = 1; number <= 100; number++) {
      const [first, second] = [plan.managementAddress(number), plan.vtepAddress(number)]
      assert.ok(cidrContains(management, parseIpv4(first) ?? 0), first)
      assert.ok(cidrContains(data, parseIpv4(second) ?? 0), second)
      // Not the address of the network itself, nor the broadcast.
      assert.ok(!/\.(0|127|128|255)$/.test(first) && !/\.(0|127|128|255)$/.test(second))
      seen.add(first).add(second)
    }
    assert.equal(seen.size, 201)
  })
})
