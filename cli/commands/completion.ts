import { Argument, type Command } from 'commander'
import type { CompletionNode } from '../completion/model.ts'
import type { CommandContext } from '../context.ts'
import { machineVerbs } from './tree.ts'

const shells = ['bash', 'zsh', 'fish'] as const
type Shell = (typeof shells)[number]

export function defineCompletion(completion: Command, context: CommandContext): void {
  completion
    .description('print a completion script: source <(nubo completion bash)')
    .addArgument(new Argument('<shell>', 'which shell').choices(shells))
    .action(async (shell: Shell) => {
      // A tree of its own, with every noun loaded.
      const { createProgram } = await import('../run.ts')
      const { completionNodes } = await import('../completion/model.ts')
      const program = createProgram(context.surroundings)
      for (const noun of program.root.commands) await program.loadNoun(noun)
      const nodes = completionNodes(program.root, (command) =>
        machineVerbs.some(({ name }) => command.parent === program.root && name === command.name()),
      )
      context.write(await scriptOf(shell, nodes))
    })
}

async function scriptOf(shell: Shell, nodes: readonly CompletionNode[]): Promise<string> {
  switch (shell) {
    case 'bash':
      return (await import('../completion/bash.ts')).bashScript(nodes)
    case 'zsh':
      return (await import('../completion/zsh.ts')).zshScript(nodes)
    case 'fish':
      return (await import('../completion/fish.ts')).fishScript(nodes)
  }
}
