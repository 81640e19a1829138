import assert from 'node:assert/strict'
import { test } from 'node:test'
import { composeVmArtifact, parseVmArtifact, type VmArtifactConfig } from './vm-artifact.ts'

const blob = (mark: string) => ({
  path: `/${mark}`,
  digest: `sha256:${mark.repeat(64)}`,
  sizeBytes: 7,
})
const disk: VmArtifactConfig = {
  kind: 'disk',
  format: 'qcow2',
  virtualBytes: 2 ** 30,
  commandLine: null,
}
const kernel: VmArtifactConfig = {
  kind: 'kernel',
  format: 'bzimage',
  virtualBytes: 0,
  commandLine: 'console=ttyS0 quiet',
}

test('what is composed is parsed again, and the same every time', () => {
  for (const [vm, layers] of [
    [disk, [blob('a')]],
    [kernel, [blob('b'), blob('c')]],
  ] as const) {
    const made = composeVmArtifact({ vm, layers })
    assert.deepEqual(composeVmArtifact({ vm, layers }), made)
    const parsed = parseVmArtifact(made.manifest, made.config.text)
    assert.deepEqual(parsed.vm, vm)
    assert.deepEqual(
      parsed.layers.map(({ digest, size }) => [digest, size]),
      layers.map(({ digest, sizeBytes }) => [digest, sizeBytes]),
    )
  }
})

test('the manifest says what it is to every reader of OCI manifests', () => {
  const made = composeVmArtifact({ vm: disk, layers: [blob('a')] })
  const manifest: unknown = JSON.parse(made.manifest)
  assert.deepEqual(manifest, {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: {
      mediaType: 'application/vnd.nubo.vm.config.v1+json',
      size: made.config.sizeBytes,
      digest: made.config.digest,
    },
    layers: [
      {
        mediaType: 'application/vnd.nubo.vm.disk.v1.qcow2',
        size: 7,
        digest: `sha256:${'a'.repeat(64)}`,
      },
    ],
  })
})

test('anything else is refused with what is wrong', () => {
  const made = composeVmArtifact({ vm: kernel, layers: [blob('b'), blob('c')] })
  const other = composeVmArtifact({ vm: disk, layers: [blob('a')] })
  const refused: readonly (readonly [manifest: string, config: string, words: RegExp])[] = [
    ['{', made.config.text, /manifest is not JSON/],
    ['{}', made.config.text, /manifest is malformed/],
    [made.manifest, other.config.text, /does not have the digest/],
    [made.manifest.replace('vm.config', 'vm.other'), made.config.text, /no image for VMs/],
    [made.manifest.replace('vm.initrd', 'vm.other'), made.config.text, /layers of a kernel are/],
  ]
  for (const [manifest, config, words] of refused)
    assert.throws(
      () => parseVmArtifact(manifest, config),
      (error) => error instanceof RangeError && words.test(error.message),
    )
})

test('a config that contradicts itself is refused even under its right digest', () => {
  for (const change of [
    { virtualBytes: -1 },
    { commandLine: 'two\nlines' },
    { commandLine: 'x'.repeat(2_049) },
    { format: 'raw' },
    { more: 1 },
  ]) {
    // proof: wrong on purpose
    const vm = { ...kernel, ...change } as VmArtifactConfig
    const made = composeVmArtifact({ vm, layers: [blob('b'), blob('c')] })
    assert.throws(() => parseVmArtifact(made.manifest, made.config.text), /config is malformed/)
  }
})
