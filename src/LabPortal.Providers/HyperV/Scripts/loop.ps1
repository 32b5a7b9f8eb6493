# Started by -EncodedCommand. Each line of the input is a frame: the length of the rest, a colon, and base64 of JSON in UTF-8 (no console's code page can harm that);
# each is answered by one line of the same form. The first frame brings the scripts.
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
$WarningPreference = 'SilentlyContinue'
$scripts = @{}
foreach ($line in $input) {
    try {
        $colon = $line.IndexOf(':')
        $text = $line.Substring($colon + 1)
        if ($text.Length -ne [int]$line.Substring(0, $colon)) { throw 'A frame is incomplete.' }
        $frame = ConvertFrom-Json -InputObject ([Text.Encoding]::UTF8.GetString([Convert]::FromBase64String($text)))
        if ($frame.name -eq 'scripts') {
            foreach ($script in $frame.input.PSObject.Properties) { $scripts[$script.Name] = [scriptblock]::Create($script.Value) }
            $answer = @{ output = @{ time = [DateTime]::UtcNow.ToString('o') } }
        }
        else { $answer = @{ output = (& $scripts[$frame.name] $frame.input) } }
    }
    catch {
        $cause = $_.Exception
        while ($cause.InnerException) { $cause = $cause.InnerException }
        $answer = @{ error = @{ message = [string]$cause.Message; id = [string]$_.FullyQualifiedErrorId; category = [string]$_.CategoryInfo.Category; hresult = $cause.HResult } }
    }
    $text = [Convert]::ToBase64String([Text.Encoding]::UTF8.GetBytes((ConvertTo-Json -InputObject $answer -Depth 8 -Compress)))
    [Console]::Out.WriteLine([string]$text.Length + ':' + $text)
    [Console]::Out.Flush()
}
