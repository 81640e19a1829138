import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { LabCgroups, parseCgroupTrees } from './cgroups.ts'

const mixed = `\
24 1 0:22 / /proc rw,relatime - proc proc rw
30 25 0:26 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
31 25 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
32 25 0:28 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
33 25 0:26 / /mnt/again rw,relatime - cgroup cgroup rw,pids
`

describe('parseCgroupTrees', () => {
  it('finds the trees of both versions, each once', () => {
    assert.deepEqual(parseCgroupTrees(mixed), [
      { version: 1, controllers: ['pids'], root: '/sys/fs/cgroup/pids' },
      { version: 1, controllers: ['cpu', 'cpuacct'], root: '/sys/fs/cgroup/cpu,cpuacct' },
      { version: 2, controllers: [], root: '/sys/fs/cgroup/unified' },
    ])
  })

  it('finds the one tree of a machine with version 2', () => {
    const text = '30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n'
    assert.deepEqual(parseCgroupTrees(text), [
      { version: 2, controllers: [], root: '/sys/fs/cgroup' },
    ])
  })
})

describe('LabCgroups', () => {
  it('says so when nothing is mounted', () => {
    assert.throws(() => new LabCgroups([], 'x'), /No control groups/)
  })
})
