import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SERIAL_HISTORY_BYTES } from '../vm-driver.ts'
import type { Stage } from './stage.ts'

/** What another life of the agent finds. */
export function lifeTests(stage: Stage): void {
  void test('a later life of the agent finds what runs and goes on with it', async () => {
    const vm = await stage.started()
    const held = await stage.started()
    await stage.driver.pause(held.vmId)
    const before = [await stage.found(vm), await stage.found(held)]
    await stage.nextLife()
    assert.deepEqual([await stage.found(vm), await stage.found(held)], before)
    await stage.driver.start(vm)
    assert.deepEqual(await stage.found(vm), before[0])
    const port = await stage.console(vm)
    port.stream.write('can it, still')
    await port.until('can it, still')
    const events = stage.listen()
    await stage.driver.shutDown(vm.vmId)
    await events.sees({ type: 'ended', vmId: vm.vmId })
    assert.equal((await stage.untilState(vm, 'stopped')).end, 'shut-down')
    events.close()
    await stage.remove(vm)
    await stage.remove(held)
  })

  void test('how runs ended while no agent was there is found out', async () => {
    const [off, crashed, killed] = [
      await stage.started(),
      await stage.started(),
      await stage.started(),
    ]
    await stage.driver.kill(killed.vmId)
    await stage.driver.shutDown(off.vmId)
    await stage.nextLife(async () => await stage.rig.crash(crashed.vmId))
    assert.equal((await stage.untilState(off, 'stopped')).end, 'shut-down')
    assert.equal((await stage.untilState(crashed, 'stopped')).end, 'crashed')
    assert.equal((await stage.untilState(killed, 'stopped')).end, 'killed')
    for (const vm of [off, crashed, killed]) await stage.remove(vm)
  })
}

/** The serial port. */
export function serialTests(stage: Stage): void {
  void test('readers of the serial port share it, and end with the run', async () => {
    const vm = await stage.started()
    const [one, two] = [await stage.console(vm), await stage.console(vm)]
    one.stream.write('line 1 ')
    await two.until('line 1 ')
    two.stream.write('line 2 ')
    await one.until('line 2 ')
    assert.equal(one.text, two.text)
    assert.match(one.text, /READY 1/)
    one.stream.destroy()
    await stage.driver.kill(vm.vmId)
    await two.ended
    await stage.remove(vm)
  })

  void test('of a guest that floods its port the last part is kept, and it can be killed', async () => {
    const vm = await stage.started()
    // Nobody reads this one.
    const sleeper = await stage.driver.serial(vm.vmId)
    await stage.type(vm, 'f')
    const port = await stage.console(vm)
    await port.until('x'.repeat(4_096))
    port.stream.destroy()
    await stage.driver.kill(vm.vmId)
    let kept = 0
    for await (const bytes of sleeper as AsyncIterable<Buffer>) kept += bytes.length
    // What it had not read, and what the stream itself had taken before.
    assert.ok(kept <= 2 * SERIAL_HISTORY_BYTES, String(kept))
    await stage.remove(vm)
  })
}
