# Completion of lab for PowerShell: lab completion pwsh | Out-String | Invoke-Expression
Register-ArgumentCompleter -Native -CommandName lab -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    # The position counts from the beginning of all that is typed, of which the command may be the last part; a blank at its end is no part of it.
    $at = $cursorPosition - $commandAst.Extent.StartOffset
    $line = $commandAst.ToString().PadRight($at).Substring(0, $at)
    $before = ''
    # "--state=re" is asked for as "--state re".
    if ($line -match '^(.*\s(--[a-z-]+))=(\S*)$') {
        $line = "$($Matches[1]) $($Matches[3])"
        $before = "$($Matches[2])="
    }
    lab "[suggest:$($line.Length)]" $line 2>$null | Where-Object { "$before$_".StartsWith($wordToComplete, 'Ordinal') } | ForEach-Object {
        [System.Management.Automation.CompletionResult]::new("$before$_", $_, 'ParameterValue', $_)
    }
}
