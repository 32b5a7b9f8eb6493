param($in)
$found = Get-VMHost
$problems = @()
if (-not @(Get-VMSwitch | Where-Object { $_.Name -eq $in.switch }).Count) { $problems += @{ what = 'switch' } }
if (-not [IO.Directory]::Exists($in.images)) { $problems += @{ what = 'images' } }
$probe = [IO.Path]::Combine($in.folder, $in.probe)
try {
    $null = [IO.Directory]::CreateDirectory($in.folder)
    [IO.File]::WriteAllBytes($probe, ([byte[]]::new(1)))
    [IO.File]::Delete($probe)
}
catch { $problems += @{ what = 'folder' } }
@{ host = [string]$found.Name; problems = $problems }
