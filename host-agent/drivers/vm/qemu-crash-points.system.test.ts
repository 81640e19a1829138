// Agents that die between any two steps of a call, with real QEMUs: the next life finishes what was begun, or clears it.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { after, before, describe, test } from 'node:test'
import { Stage, WAIT_MS } from './conformance/stage.ts'
import { vmSteps, type VmStep } from './qemu/vm-steps.ts'
import { GUEST_BYTES, imageOf, QemuStage, tapOf } from './testing/qemu-stage.ts'
import type { VmDriver, VmSpec } from './vm-driver.ts'

describe('an agent that dies', () => {
  let host: QemuStage
  const stage = new Stage()

  before(async () => {
    host = await QemuStage.open()
    await stage.open({
      open: () => host.driver(),
      image: imageOf('a'),
      stubbornImage: imageOf('b'),
      absentImage: imageOf('0'),
      imageBytes: GUEST_BYTES,
      auth: async () => ({ registry: '127.0.0.1:5000', token: 'token' }),
      interfaces: (number) => [tapOf(number)],
      crash: async (vmId) => await host.crash(vmId),
      traces: async (spec) => await host.traces(spec),
      dispose: async () => {},
    })
  })
  after(async () => {
    await stage.driver.close()
    await host.close()
  })

  /** Does the work with an agent that dies before the step; then the next one lives. */
  async function diesBefore(
    step: VmStep,
    work: (driver: VmDriver) => Promise<void>,
  ): Promise<void> {
    await stage.nextLife(async () => {
      const dead = Promise.withResolvers<void>()
      const doomed = host.driver({
        beforeStep: async (next) => {
          if (next !== step) return
          dead.resolve()
          // It is never heard of again.
          await new Promise(() => undefined)
        },
      })
      await doomed.prepare()
      const working = work(doomed)
      await Promise.race([
        dead.promise,
        working.then(() => assert.fail(`the work ended without the step "${step}"`)),
      ])
      await doomed.close()
    })
  }

  for (const step of vmSteps.start) {
    test(`before "${step}": the VM is incomplete, and starts when it is asked for again`, async () => {
      const vm = stage.spec()
      await diesBefore(step, async (driver) => await driver.start(vm))
      const found = await stage.driver.find(vm.vmId)
      if (step === 'start: record') assert.equal(found, null)
      else assert.deepEqual([found?.state, found?.end], ['incomplete', null])
      await stage.driver.start(vm)
      await stage.boots(vm, 1)
      await stage.remove(vm)
    })

    test(`before "${step}": what is there can be removed, or killed`, async () => {
      const vm = stage.spec()
      await diesBefore(step, async (driver) => await driver.start(vm))
      await stage.driver.kill(vm.vmId)
      if (step !== 'start: record') assert.equal((await stage.found(vm)).state, 'incomplete')
      await stage.remove(vm)
    })
  }

  test('while it starts one again with another specification: the disk is still its own', async () => {
    const vm = await stage.started()
    await stage.driver.kill(vm.vmId)
    const [link] = stage.rig.interfaces(200)
    assert.ok(link !== undefined)
    const other: VmSpec = {
      ...vm,
      specHash: 'other',
      interfaces: [link],
      rootDisk: { sizeBytes: 2 * GUEST_BYTES },
    }
    for (const step of vmSteps.start) {
      await diesBefore(step, async (driver) => await driver.start(other))
      assert.equal((await stage.found(vm)).end, 'killed', step)
    }
    await stage.driver.start(other)
    await stage.boots(vm, 2)
    // The tap of the first specification is nobody's any more.
    assert.deepEqual(
      (await host.traces({ ...other, interfaces: vm.interfaces })).filter((trace) =>
        vm.interfaces.some(({ hostInterface }) => hostInterface === trace),
      ),
      [],
    )
    await stage.remove(other)
  })

  test('with its whole process, by SIGKILL: the VM runs on and is adopted', async (t) => {
    const vm = stage.spec()
    let pid = 0
    await stage.nextLife(async () => {
      const agent = spawn(
        process.execPath,
        [
          '--disable-warning=ExperimentalWarning',
          '--input-type=module',
          '--eval',
          host.agentProgram(vm),
        ],
        { stdio: ['ignore', 'pipe', 'inherit'] },
      )
      t.after(() => agent.kill('SIGKILL'))
      const [said] = await once(agent.stdout, 'data', { signal: AbortSignal.timeout(WAIT_MS) })
      assert.match(String(said), /started/)
      pid = host.pid(vm.vmId)
      agent.kill('SIGKILL')
      await once(agent, 'exit')
    })
    assert.equal((await stage.found(vm)).state, 'running')
    assert.equal(host.pid(vm.vmId), pid)
    // What it wrote before was said to another life.
    const port = await stage.console(vm)
    port.stream.write('still')
    await port.until('still')
    await stage.driver.shutDown(vm.vmId)
    assert.equal((await stage.untilState(vm, 'stopped')).end, 'shut-down')
    await stage.driver.start(vm)
    await stage.boots(vm, 2)
    await stage.remove(vm)
  })

  for (const step of vmSteps.kill) {
    test(`before "${step}": a kill that had begun is done, one that had not is not`, async () => {
      const vm = await stage.started()
      await diesBefore(step, async (driver) => await driver.kill(vm.vmId))
      const found = await stage.found(vm)
      if (step === 'kill: intent') assert.equal(found.state, 'running')
      else assert.deepEqual([found.state, found.end], ['stopped', 'killed'])
      await stage.driver.kill(vm.vmId)
      await stage.driver.start(vm)
      await stage.boots(vm, 2)
      await stage.remove(vm)
    })
  }

  for (const step of vmSteps.remove) {
    test(`before "${step}": a removal that had begun is done, one that had not is not`, async () => {
      const vm = await stage.started()
      await diesBefore(step, async (driver) => await driver.remove(vm.vmId))
      const found = await stage.driver.find(vm.vmId)
      if (step === 'remove: record') {
        assert.equal(found?.state, 'running')
        await stage.remove(vm)
      } else {
        assert.equal(found, null)
        assert.deepEqual(await host.traces(vm), [])
      }
    })
  }
})
