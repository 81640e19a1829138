/** A reply of get_schema with one column of every kind that this package reads. */
export const SCHEMA_REPLY = {
  name: 'Test',
  version: '1.2.3',
  cksum: '1 2',
  tables: {
    Thing: {
      isRoot: true,
      columns: {
        name: { type: 'string', mutable: false },
        size: { type: { key: { type: 'integer', minInteger: 0 } } },
        ratio: { type: 'real' },
        on: { type: 'boolean' },
        speed: { type: { key: 'integer', min: 0, max: 1 } },
        tags: { type: { key: { type: 'string' }, min: 0, max: 'unlimited' } },
        parts: {
          type: { key: { type: 'uuid', refTable: 'Part' }, min: 0, max: 'unlimited' },
        },
        owner: { type: { key: { type: 'uuid', refTable: 'Part' }, min: 1, max: 1 } },
        labels: { type: { key: 'string', value: 'string', min: 0, max: 'unlimited' } },
        queues: {
          type: {
            key: { type: 'integer' },
            value: { type: 'uuid', refTable: 'Part' },
            min: 0,
            max: 'unlimited',
          },
        },
        single: { type: { key: 'string', value: 'string', min: 0, max: 1 } },
      },
    },
    Part: { columns: { name: { type: 'string' } } },
  },
}
