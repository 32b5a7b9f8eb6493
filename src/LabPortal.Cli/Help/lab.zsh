#compdef lab
# Completion of lab for zsh: source <(lab completion zsh)
_lab() {
  local line=${BUFFER[1,CURSOR]}
  # "--state=re" is asked for as "--state re".
  if [[ $line =~ '^(.*[[:space:]]--[a-z-]+)=([^[:space:]]*)$' ]]; then
    line="${match[1]} ${match[2]}"
    compset -P '*='
  fi
  local -a found
  found=("${(@f)$(TERM=dumb lab "[suggest:${#line}]" "$line" 2>/dev/null)}")
  (( ${#found} )) && compadd -a found
}
compdef _lab lab
