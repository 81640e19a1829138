import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { mountsBelow } from './leftovers.ts'

describe('mountsBelow', () => {
  const mountinfo = `\
22 1 8:1 / / rw - ext4 /dev/sda1 rw
45 22 8:1 /lab/h1/docker /lab/h1/docker rw shared:4 - ext4 /dev/sda1 rw
46 45 0:39 / /lab/h1/docker/overlay2/x/merged rw - overlay overlay rw
47 22 0:40 / /lab/h10/docker rw - tmpfs tmpfs rw
48 22 0:41 / /lab/h1/with\\040space rw - tmpfs tmpfs rw
49 22 8:17 / /disk rw - ext4 /dev/sdb1 rw
50 49 8:33 / /disk/h1/docker rw - xfs /dev/sdc1 rw
51 49 7:0 / /disk/h1/volume rw - xfs /dev/loop0 rw
`

  it('finds what lies below a folder, inner ones first, and not what only begins alike', () => {
    assert.deepEqual(mountsBelow(mountinfo, '/lab/h1'), [
      '/lab/h1/with space',
      '/lab/h1/docker/overlay2/x/merged',
      '/lab/h1/docker',
    ])
    assert.deepEqual(mountsBelow(mountinfo, '/lab/h2'), [])
  })

  it('leaves alone the folder itself and disks that somebody has mounted in it', () => {
    assert.deepEqual(mountsBelow(mountinfo, '/lab/h1/docker'), ['/lab/h1/docker/overlay2/x/merged'])
    assert.deepEqual(mountsBelow(mountinfo, '/disk'), ['/disk/h1/volume'])
  })
})
