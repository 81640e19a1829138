/** Proves on the kernel's cgroups that programs land in them, and that a branch is ended as a whole. */
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { findProcess, start } from '@nubo/runtime'
import { findCgroupTrees, LabCgroups } from './cgroups.ts'

const trees = findCgroupTrees()

for (const kind of ['as mounted', 'version 2 alone'] as const) {
  const used = kind === 'as mounted' ? trees : trees.filter((tree) => tree.version === 2)
  if (used.length === 0) continue
  describe(`LabCgroups, ${kind}`, () => {
    const id = `nt${process.pid}${kind === 'as mounted' ? 'a' : 'b'}`
    const cgroups = new LabCgroups(used, id)
    after(() => cgroups.kill())

    it('holds a program and its children from the first instruction, and ends a branch only', async () => {
      const first = start({
        argv: ['sh', '-c', 'sleep 60 & wait'],
        cgroups: cgroups.enter('h1/system'),
      })
      const other = start({ argv: ['sleep', '60'], cgroups: cgroups.enter('h2/system') })
      // A container's folder: made by somebody else beside ours, in a tree of their choice.
      const [tree] = used
      assert.ok(tree !== undefined)
      const foreign = join(tree.root, id, 'h1', 'set-1', 'container')
      mkdirSync(foreign, { recursive: true })
      const inside = start({ argv: ['sleep', '60'], cgroups: [foreign] })
      while (cgroups.processes('h1').length < 3)
        await new Promise((resolve) => setTimeout(resolve, 5))
      assert.match(
        readFileSync(`/proc/${first.pid}/cgroup`, 'utf8'),
        new RegExp(`/${id}/h1/system`),
      )

      await cgroups.kill('h1')
      assert.deepEqual(cgroups.processes('h1'), [])
      await Promise.all([first.exited, inside.exited])
      assert.equal(cgroups.exists('h1'), false)
      assert.equal(existsSync(foreign), false)
      assert.ok(findProcess(other.pid) !== undefined)
      assert.deepEqual(cgroups.processes(), [other.pid])
      await cgroups.kill()
      await other.exited
      assert.equal(cgroups.exists(), false)
    })

    it('outruns a program that forks all the time', async () => {
      const bomb = start({
        argv: ['sh', '-c', 'f() { sleep 0.2; f & f & }; f; wait'],
        cgroups: cgroups.enter('h3/system'),
      })
      while (cgroups.processes('h3').length < 8)
        await new Promise((resolve) => setTimeout(resolve, 20))
      await cgroups.kill('h3')
      await bomb.exited
      assert.deepEqual(cgroups.processes('h3'), [])
    })
  })
}
