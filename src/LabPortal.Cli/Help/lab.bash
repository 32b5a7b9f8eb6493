# Completion of lab for bash: source <(lab completion bash)
_lab() {
  local line=${COMP_LINE:0:COMP_POINT}
  # "--state=re" is asked for as "--state re".
  [[ $line =~ ^(.*[[:space:]]--[a-z-]+)=([^[:space:]]*)$ ]] && line="${BASH_REMATCH[1]} ${BASH_REMATCH[2]}"
  # What is suggested replaces the word as bash splits it, which is after the last "=" or ":".
  local word=${COMP_WORDS[COMP_CWORD]}
  # Of a dumb terminal nothing is asked or set while its line is being typed.
  mapfile -t COMPREPLY < <(TERM=dumb "${COMP_WORDS[0]}" "[suggest:${#line}]" "$line" 2>/dev/null)
  local i
  for i in "${!COMPREPLY[@]}"; do
    [[ ${COMPREPLY[i]} == "$word"* ]] || unset 'COMPREPLY[i]'
  done
}
complete -F _lab lab
