// Proves the arithmetic of leases: no order of events lets a lease outlast what the leader waits for.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seededRandom } from '@nubo/base'
import { LEASE_MS } from '@nubo/contracts/host'
import { CLOCK_SKEW_MAX_MS, leaseProvenEndedAfterMs, RECORD_STALE_MAX_MS } from './lease.ts'

test('the bound is the sum of what can delay the end', () => {
  assert.equal(leaseProvenEndedAfterMs(0), RECORD_STALE_MAX_MS + LEASE_MS + CLOCK_SKEW_MAX_MS)
  assert.equal(leaseProvenEndedAfterMs(8_000) - leaseProvenEndedAfterMs(0), 8_000)
  assert.ok(leaseProvenEndedAfterMs(8_000) < 50_000, 'what runs there serves elsewhere in a minute')
})

test('a lease that keeps the rules ends before the bound, whatever is slow', () => {
  const random = seededRandom(7)
  for (let round = 0; round < 2_000; round++) {
    const sentMs = random.fraction() * 10_000
    const receivedMs = sentMs + random.fraction() * 20_000
    // A confirmed write may have begun long before the heartbeat came, or after it.
    const writeMs = receivedMs - RECORD_STALE_MAX_MS + random.fraction() * 20_000
    const committedMs = writeMs + random.fraction() * 5_000
    const grantedMs = Math.max(receivedMs, committedMs) + random.fraction() * 8_000
    if (grantedMs - writeMs > RECORD_STALE_MAX_MS) continue
    const stoppedMs = sentMs + LEASE_MS + 8_000
    const seenMs = committedMs + random.fraction() * 1_000
    assert.ok(stoppedMs <= seenMs + leaseProvenEndedAfterMs(8_000))
  }
})
