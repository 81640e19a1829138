import { PlatformError } from '@nubo/base'
import type { FoundVm, VmSpec } from './vm-driver.ts'
import type { VmImage } from './vm-images.ts'

/** Whether a start has anything to do. Throws NOT_ALLOWED_NOW for a lower epoch, and while something else of the VM runs. */
export function checkStart(found: FoundVm | null, spec: VmSpec): 'start' | 'runs' {
  if (found === null) return 'start'
  const { vmId, epoch } = spec
  if (found.epoch > epoch) {
    throw new PlatformError(
      'NOT_ALLOWED_NOW',
      { vmId, epoch, foundEpoch: found.epoch },
      { message: 'the host has a later placement of this VM' },
    )
  }
  if (found.state === 'stopped' || found.state === 'incomplete') return 'start'
  if (found.epoch === epoch && found.specHash === spec.specHash) return 'runs'
  throw new PlatformError(
    'NOT_ALLOWED_NOW',
    { vmId, foundEpoch: found.epoch, next: 'kill it first' },
    { message: 'the VM runs with another specification' },
  )
}

/** Throws INVALID_INPUT if a VM with this specification cannot be started from the image. */
export function checkImage(spec: VmSpec, image: VmImage): void {
  if ((spec.boot.from === 'kernel') !== (image.kind === 'kernel')) {
    throw new PlatformError(
      'INVALID_INPUT',
      { field: 'boot.from', value: spec.boot.from, imageKind: image.kind },
      { message: `an image of the kind ${image.kind} does not boot from ${spec.boot.from}` },
    )
  }
  if (image.kind !== 'disk' || spec.rootDisk === null) return
  if (spec.rootDisk.sizeBytes < image.sizeBytes) {
    throw new PlatformError(
      'INVALID_INPUT',
      { field: 'rootDisk.sizeBytes', value: spec.rootDisk.sizeBytes, limit: image.sizeBytes },
      { message: `the disk is smaller than its image, which has ${image.sizeBytes} bytes` },
    )
  }
}
