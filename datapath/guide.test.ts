import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { formatFlow } from '@nubo/wire-openflow'
import { pipeline, stages, tableNames } from './pipeline.ts'
import { compile } from './program.ts'
import { register, registerNames } from './registers.ts'
import { sampleSlice, sampleTunnel } from './testing/slices.ts'

const guide = await readFile(new URL('../docs/guides/datapath.md', import.meta.url), 'utf8')

test('the guide has a section for every table, in order, with its number', () => {
  const sections = [...guide.matchAll(/^### (.*)$/gm)].map(([, title]) => title)
  assert.deepEqual(
    sections,
    pipeline.map(({ name, number }) => `${name} (${number})`),
  )
})

test('every sample of the guide is a flow that the compiler makes, in the section of its table', () => {
  const flows = new Set<string>()
  for (const flow of compile(sampleSlice, sampleTunnel, 1).flows()) {
    flows.add(formatFlow(flow, { tableNames, omitCookie: true }))
  }
  let section = ''
  const sampled = new Set<string>()
  for (const line of guide.split('\n')) {
    section = /^### ([a-z-]+)/.exec(line)?.[1] ?? section
    if (!line.startsWith('table=')) continue
    assert.ok(flows.has(line), `no such flow: ${line}`)
    assert.ok(line.startsWith(`table=${section},`), `in the wrong section: ${line}`)
    sampled.add(section)
  }
  assert.equal(sampled.size, pipeline.length)
})

test('the guide names every stage and every register', () => {
  for (const stage of stages) assert.ok(guide.includes(`\`${stage}\``), stage)
  for (const name of registerNames) {
    assert.match(guide, new RegExp(`^\\|.*\\b${name}\\b`, 'm'), name)
    const { field, from, to } = register(name)
    if (from === 0 && to === 31) assert.match(guide, new RegExp(`${field}\\b.*${name}`), name)
    else if (field === 'reg0') {
      const bits = from === to ? `${from}` : `${from}..${to}`
      assert.ok(guide.includes(`| reg0[${bits}] | ${name} |`), name)
    }
  }
})
