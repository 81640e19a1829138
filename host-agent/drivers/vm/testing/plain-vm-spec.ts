import { vmSpecHash } from '../spec-rules.ts'
import type { VmSpec } from '../vm-driver.ts'

/** A small VM that boots from its disk and has no network, unless said otherwise. */
export function plainVmSpec(change: Partial<VmSpec> = {}): VmSpec {
  const content = {
    name: 'web',
    cpus: 1,
    memoryBytes: 32 * 2 ** 20,
    boot: { from: 'disk' } as const,
    image: { repository: 'team/tiny', digest: `sha256:${'a'.repeat(64)}` },
    rootDisk: { sizeBytes: 2 * 2 ** 20 },
    interfaces: [],
    ...change,
  }
  return {
    vmId: '0190a000-0002-7000-8000-000000000001',
    epoch: 1,
    ...content,
    specHash: change.specHash ?? vmSpecHash(content),
  }
}
