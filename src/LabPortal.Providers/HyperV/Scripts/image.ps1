param($in)
@{ present = [IO.File]::Exists($in.file) ; bytes = $(if ([IO.File]::Exists($in.file)) { ([IO.FileInfo]$in.file).Length } else { [long]0 }) }
