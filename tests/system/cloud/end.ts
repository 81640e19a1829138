import assert from 'node:assert/strict'
import { existsSync, globSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { before, describe, it } from 'node:test'
import { findProcess, run } from '@nubo/runtime'
import type { TestCloud } from '../../support/test-cloud.ts'

/** Settings and claims that labs of one machine share. */
const MACHINE_RECORD = '/run/nubo/machine.json'
const RECEIVE_BUFFER = '/proc/sys/net/core/rmem_default'

const cgroupsOf = (id: string): string[] => globSync(`/sys/fs/cgroup/{,*/}${id}`)

/** Every process in a cgroup of the lab, with its start, since a pid may be given again. */
function processesOf(id: string): { pid: number; startTicks: string }[] {
  const pids = cgroupsOf(id)
    .flatMap((folder) => [folder, ...globSync(`${folder}/**/`)])
    .map((folder) => join(folder, 'cgroup.procs'))
    .filter((file) => existsSync(file))
    .flatMap((file) => readFileSync(file, 'utf8').split('\n'))
    .filter((line) => line !== '')
  return [...new Set(pids)].map(Number).flatMap((pid) => findProcess(pid) ?? [])
}

function isAlive({ pid, startTicks }: { pid: number; startTicks: string }): boolean {
  return findProcess(pid)?.startTicks === startTicks
}

/** Processes whose command names a file of the folder. */
function processesNaming(folder: string): string[] {
  return readdirSync('/proc')
    .filter((entry) => /^[0-9]+$/.test(entry) && Number(entry) !== process.pid)
    .filter((pid) => findProcess(Number(pid)) !== undefined)
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ')
      } catch {
        return '' // ended meanwhile
      }
    })
    .filter((command) => command.includes(folder))
}

export interface MachineBefore {
  readonly receiveBuffer: string
  /** Whether another lab ran, which holds what they share. */
  readonly isShared: boolean
}

export function lookAtMachine(): MachineBefore {
  return {
    receiveBuffer: readFileSync(RECEIVE_BUFFER, 'utf8'),
    isShared: existsSync(MACHINE_RECORD),
  }
}

export function end(cloudOf: () => TestCloud, machineBefore: () => MachineBefore): void {
  describe('down --purge after all this', () => {
    let cloud: TestCloud
    before(() => (cloud = cloudOf()))

    it('leaves no process, namespace, link, mount, loop device, cgroup, socket, setting or file', async () => {
      const { id, folder, run: runFolder } = cloud.lab.home
      const { api } = await cloud.status()
      const processes = processesOf(id)
      const shims = globSync(`${runFolder}/*/containerd/**/address`)
        .map((file) =>
          readFileSync(file, 'utf8')
            .trim()
            .replace(/^unix:\/\//, ''),
        )
        .filter((path) => path.startsWith('/'))
      assert.ok(processes.length > 20, 'it looks at the right place')

      await cloud.close()

      assert.deepEqual(processes.filter(isAlive), [])
      assert.deepEqual(processesNaming(folder), [])
      assert.deepEqual(globSync(`/run/netns/${id}-*`), [], 'namespaces')
      const { stdout: links } = await run({ argv: ['ip', '-o', 'link'] })
      assert.ok(!links.includes(` ${id}-`), links)
      const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n')
      assert.deepEqual(
        mounts.filter((line) => line.includes(folder)),
        [],
      )
      const loops = globSync('/sys/block/loop*/loop/backing_file').map((file) =>
        readFileSync(file, 'utf8'),
      )
      assert.deepEqual(
        loops.filter((file) => file.startsWith(folder)),
        [],
      )
      assert.deepEqual(cgroupsOf(id), [])
      assert.deepEqual(
        shims.filter((path) => existsSync(path)),
        [],
      )
      for (const url of api)
        await assert.rejects(fetch(`${url}/v1/whoami`), /fetch failed/, 'nobody listens any more')
      assert.equal(existsSync(folder), false)
      const record = existsSync(MACHINE_RECORD) ? readFileSync(MACHINE_RECORD, 'utf8') : ''
      assert.ok(!record.includes(folder))
      // Another lab that ran, or runs now, has its own reasons for what they share.
      const before = machineBefore()
      if (!before.isShared && record === '') {
        assert.equal(readFileSync(RECEIVE_BUFFER, 'utf8'), before.receiveBuffer)
        assert.equal(existsSync('/run/nubo'), false)
      }
      await cloud.lab.down({ purge: true }) // once more is no error
    })
  })
}
