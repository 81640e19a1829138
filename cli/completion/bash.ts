import type { CompletionNode } from './model.ts'
import { describeCases, pathPattern, quote, valueCases } from './shell-text.ts'

/** A completion script for bash 4.4 and later. */
export function bashScript(nodes: readonly CompletionNode[]): string {
  return `# bash completion of nubo. Use it with: source <(nubo completion bash)

_nubo_describe() { # place: sets commands, flags, positionals, repeats
  case $1 in
${nodes.map((node) => `    ${quote(node.path)}) commands=${quote(node.commands.map(({ name }) => name).join(' '))} ;;\n`).join('')}  esac
  case $1 in
${describeCases(nodes)}  esac
}

_nubo_value() { # place, option: where its value comes from; nothing if it takes none
  case "$1 $2" in
${valueCases(nodes)}  esac
}

_nubo_is_place() {
  case $1 in ${pathPattern(nodes)}) return 0 ;; esac
  return 1
}

_nubo_names() { # noun: its names, in the project that the line names
  local project=() i
  for ((i = 1; i < COMP_CWORD; i++)); do
    if [[ \${COMP_WORDS[i]} == --project ]]; then project=(--project "\${COMP_WORDS[i + 1]}"); fi
  done
  "\${COMP_WORDS[0]}" "$1" ls "\${project[@]}" -o name 2>/dev/null </dev/null
}

_nubo_reply() { # source, word
  case $1 in
    names:*) mapfile -t COMPREPLY < <(compgen -W "$(_nubo_names "\${1#names:}")" -- "$2") ;;
    words:*) mapfile -t COMPREPLY < <(compgen -W "\${1#words:}" -- "$2") ;;
    files) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$2") ;;
  esac
}

_nubo() {
  local word=\${COMP_WORDS[COMP_CWORD]} place='' option='' count=0 i at
  local commands='' flags='' positionals=() repeats=''
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    at=\${COMP_WORDS[i]}
    if [[ -n $option ]]; then option=''; continue; fi
    case $at in
      --) return ;; # what follows belongs to another program
      -*) [[ -z $(_nubo_value "$place" "$at") ]] || option=$at ;;
      *) if ((count == 0)) && _nubo_is_place "$place/$at"; then place=$place/$at; else count=$((count + 1)); fi ;;
    esac
  done
  if [[ -n $option ]]; then
    _nubo_reply "$(_nubo_value "$place" "$option")" "$word"
    return
  fi
  _nubo_describe "$place"
  if [[ $word == -* ]]; then
    _nubo_reply "words:$flags" "$word"
  elif [[ -n $commands ]]; then
    _nubo_reply "words:$commands" "$word"
  else
    if [[ -n $repeats ]] && ((count >= \${#positionals[@]})); then count=$((\${#positionals[@]} - 1)); fi
    _nubo_reply "\${positionals[count]:-}" "$word"
  fi
}

complete -F _nubo nubo
`
}
